"""The probes of a bundle, run on the engine that will serve, which must give their results."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cineflow.errors import BundleError, EngineError, ProfileError
from cineflow.runtime.bundle import Bundle, file_sha256, graph_inputs
from cineflow.runtime.engine import Engine
from cineflow.runtime.feed import FrameFeed
from cineflow.runtime.probes import PROBES_FILE, TYPICAL_PROBES_FILE, Arrays, Deviation, Probes
from cineflow.runtime.stream import Stream
from cineflow.spec import ModelSpec


def read_probes(bundle: Bundle) -> list[Probes]:
    """The probes of a bundle, those of small sizes first; none where it was written without.

    Raises:
        BundleError: A file differs from the manifest, or cannot be read.
    """
    return [
        _read(bundle, name)
        for name in (PROBES_FILE, TYPICAL_PROBES_FILE)
        if name in bundle.manifest["files"]
    ]


def _read(bundle: Bundle, name: str) -> Probes:
    wanted = bundle.manifest["files"][name]["sha256"]
    file = bundle.path / name
    digest = file_sha256(file)
    remedy = "Export it again: `cineflow export NAME --out DIR`"
    if digest != wanted:
        raise BundleError(
            f"{name} with SHA-256 {wanted[:12]}..., as its manifest says",
            f"{digest[:12]}... in {bundle.path}",
            remedy,
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Probes.from_arrays(dict(arrays))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"probes in {file}", f"{type(error).__name__}: {error}", remedy
        ) from error


def axis_sizes(probes: Probes, spec: ModelSpec) -> dict[str, int]:
    """Size along each dynamic axis of the inputs of probes, by axis name."""
    if probes.frames is None:
        sizes: dict[str, int] = {}
        for one in graph_inputs(spec):
            one.check(probes.inputs[one.name], sizes)
        return sizes
    sizes = FrameFeed(spec).image_sizes(probes.frames.shape[1:])
    for one in spec.given_inputs:
        array = probes.first[one.name] if one.name in probes.first else probes.each[one.name][0]
        one.check(array, sizes)
    return sizes


def run_probes(probes: Probes, engine: Engine, spec: ModelSpec) -> list[Arrays]:
    """What an engine gives for the inputs of the probes, through a `Stream` where frames come."""
    if probes.frames is None:
        return [engine.run(probes.inputs)]
    stream = Stream(engine, spec)
    return [
        {
            name: output.values
            for name, output in stream.push(frame, given=given).outputs.items()
        }
        for frame, given in probes.steps()
    ]  # fmt: skip


def fitting_run(bundle: Bundle, run: Callable[[Probes], list[Arrays]]) -> list[Deviation]:
    """The deviation of each output, for the first probes of a bundle whose sizes an engine takes.

    Args:
        bundle: It has probes.
        run: Gives the outcomes; raises `ProfileError` for sizes that the engine was not built for.

    Raises:
        ProfileError: The engine takes none of the sizes, so nothing can be said about it.
        EngineError: It fails.
        BundleError: The bundle has no probes, or they are damaged.
    """
    tried = read_probes(bundle)
    if not tried:
        raise BundleError(
            "a bundle with known results",
            f"{bundle.served_name} without",
            "It was written before they existed: export or import it again",
        )
    for probes in tried:
        try:
            return probes.judge(run(probes))
        except ProfileError as error:
            refused = error
    sizes = [axis_sizes(probes, bundle.spec) for probes in tried]
    raise ProfileError(
        f"an engine of {bundle.served_name} for a size of its known results: "
        f"{' or '.join(map(sizes_in_words, sizes))}",
        refused.got,
        profile_remedy(len(tried)),
    ) from refused


def sizes_in_words(sizes: Mapping[str, int]) -> str:
    """Sizes of axes in words ("height 64, width 80")."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "its fixed size"


def profile_remedy(tried: int) -> str:
    """What to do about an engine that takes none of `tried` sizes."""
    again = "" if tried > 1 else ", or export the bundle again: it then also has a typical size"
    return f"Build it with a --profile that holds one of them{again}"


def require_probes(
    bundle: Bundle, engine: Engine, warn: Callable[[str], None] = lambda message: None
) -> list[Deviation]:
    """Run a bundle's probes on the engine that will serve it.

    Args:
        bundle: The model.
        engine: It is open and ready.
        warn: Called with a sentence where nothing could be proven: the bundle has no probes.

    Returns:
        The deviation of each output; empty where nothing could be proven.

    Raises:
        EngineError: An output differs by more than is allowed, the engine was built for other sizes
            than the bundle has known results of (`ProfileError`), or it fails.
        BundleError: The probes are damaged.
    """
    if PROBES_FILE not in bundle.manifest["files"]:
        warn(f"{bundle.served_name} has no probes; export it again to get some")
        return []
    deviations = fitting_run(bundle, lambda probes: run_probes(probes, engine, bundle.spec))
    require_passed(deviations, bundle.served_name, engine.name)
    return deviations


def require_passed(deviations: Sequence[Deviation], model: str, engine: str) -> None:
    """Raise `EngineError` with every deviation that is not allowed."""
    if failed := [str(one) for one in deviations if not one.passed]:
        raise EngineError(
            f"{engine} to give the known results of {model}",
            "; ".join(failed),
            "Do not serve with it. Undo the last change of driver or runtime, build the engine "
            "again, or choose another runtime",
        )
