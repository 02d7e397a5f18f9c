"""Optimisation profiles: the sizes that an engine is built for, along each dynamic axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx

from cineflow.errors import EngineError, ExportError
from cineflow.export.graph.footprint import Shapes, live_bytes, shapes_at
from cineflow.export.recipe import nearest_size, spec_axes
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.probing import axis_sizes, profile_remedy, read_probes, sizes_in_words
from cineflow.spec import ModelSpec

#: Axis name -> (smallest, typical, largest) size; the engine is tuned for the typical one.
Profile = Mapping[str, tuple[int, int, int]]

#: Shapes of all values at the smallest, typical and largest sizes.
Ranges = tuple[Shapes, Shapes, Shapes]

#: Size around which engines are tuned along a dynamic axis.
TYPICAL_SIZE = 256

#: Memory of the smallest card that is likely in a cart.
CARD_BYTES = 8 << 30


def default_profile(spec: ModelSpec) -> dict[str, tuple[int, int, int]]:
    """Sizes per dynamic axis: the whole range of the spec, tuned near `TYPICAL_SIZE`."""
    profile = {}
    for axis in spec_axes(spec).values():
        low, high = nearest_size(axis, axis.minimum), nearest_size(axis, axis.maximum)
        profile[axis.name] = (low, nearest_size(axis, max(low, min(TYPICAL_SIZE, high))), high)
    return profile


def parse_profile(texts: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Read `height=64:256:512` arguments.

    Raises:
        ExportError: An argument has the wrong form, or an axis is given twice.
    """
    profile: dict[str, tuple[int, int, int]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)=(\d+):(\d+):(\d+)", text)
        if match is None or match.group(1) in profile:
            raise ExportError(
                "a profile as AXIS=SMALLEST:TYPICAL:LARGEST, once per axis",
                repr(text),
                "For example --profile height=64:256:512 --profile width=64:256:512",
            )
        low, typical, high = (int(match.group(i)) for i in (2, 3, 4))
        profile[match.group(1)] = (low, typical, high)
    return profile


def complete_profile(spec: ModelSpec, given: Profile) -> Profile:
    """`given`, with the default for every dynamic axis that it leaves out.

    Raises:
        ExportError: An axis is unknown, or its sizes are not in order or not accepted by the spec.
    """
    axes = spec_axes(spec)
    if unknown := set(given) - set(axes):
        raise ExportError(
            f"a profile for the dynamic axes of {spec.name}: {', '.join(axes) or 'none'}",
            ", ".join(sorted(unknown)),
            "Leave --profile out for all sizes that the model takes",
        )
    for name, sizes in given.items():
        if sorted(sizes) != list(sizes) or not all(axes[name].accepts(size) for size in sizes):
            raise ExportError(
                f"{name} as smallest:typical:largest within {axes[name].describe()}",
                ":".join(map(str, sizes)),
                "The sizes are part of the bundle's spec, in its manifest.json",
            )
    return default_profile(spec) | dict(given)


def require_known_results(bundle: Bundle, profile: Profile) -> None:
    """Raise `EngineError` if a bundle has known results, but of no size that `profile` holds.

    A server would refuse the engine, because nothing could be said about what it gives.
    """
    known = [axis_sizes(probes, bundle.spec) for probes in read_probes(bundle)]
    for sizes in known:
        if all(
            name not in sizes or low <= sizes[name] <= high
            for name, (low, _, high) in profile.items()
        ):
            return
    if known:
        raise EngineError(
            f"a profile that holds a size of which {bundle.served_name} has known results: "
            f"{' or '.join(map(sizes_in_words, known))}",
            " ".join(f"{name}={low}:{typical}:{high}" for name, (low, typical, high)
                     in profile.items()),
            f"A server asks its engine for them. {profile_remedy(len(known))}",
        )  # fmt: skip


def ranges_of(model: onnx.ModelProto, spec: ModelSpec, profile: Profile) -> Ranges:
    """Shape of every value of `model` at the smallest, typical and largest sizes."""
    smallest, typical, largest = (shapes_at(model, spec, sizes) for sizes in at_sizes(profile))
    return smallest, typical, largest


def at_sizes(profile: Profile) -> list[dict[str, int]]:
    """Size along each dynamic axis: the smallest, the typical and the largest."""
    return [{name: sizes[which] for name, sizes in profile.items()} for which in range(3)]


def require_memory(
    model: onnx.ModelProto, spec: ModelSpec, profile: Profile, memory_bytes: int
) -> None:
    """Raise `EngineError` if the largest size of the profile cannot fit a card.

    TensorRT-RTX plans memory on the card, so without a card it builds such an engine silently.
    """
    largest = {name: sizes[2] for name, sizes in profile.items()}
    needed = live_bytes(model, shapes_at(model, spec, largest))
    if needed > memory_bytes:
        raise EngineError(
            f"{spec.name} at {largest} within {memory_bytes / 2**30:.3g} GiB",
            f"at least {needed / 2**30:.3g} GiB for one of its nodes",
            "Smaller sizes in --profile, or --memory for a larger card",
        )
