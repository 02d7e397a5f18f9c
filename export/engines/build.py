"""Engines for TensorRT-RTX and TensorRT, built ahead of time into the store.

TensorRT-RTX builds without a GPU or driver, for every compute capability it knows. Full TensorRT
builds for the GPU it runs on. Both read the same graph. Nothing here runs an engine on a card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from cineflow.errors import EngineError
from cineflow.export.check.targets import grid_sample_rank
from cineflow.export.engines.builder import EngineBuild
from cineflow.export.engines.flavours import (
    import_cupy,
    import_flavour,
    supported_capabilities,
    version_tuple,
)
from cineflow.export.engines.profile import (
    CARD_BYTES,
    Profile,
    at_sizes,
    complete_profile,
    ranges_of,
    require_known_results,
    require_memory,
)
from cineflow.export.graph.conflicts import sizes_explained
from cineflow.export.graph.half import PRECISIONS, to_half
from cineflow.runtime.bundle import Bundle, file_sha256
from cineflow.runtime.engines.tensorrt import card_capability
from cineflow.runtime.segments import read_steps
from cineflow.runtime.store import EngineKey, EngineStore, StoredEngine

#: First version of each flavour whose GridSample takes volumes. TensorRT-RTX: tried.
GRID_RANK_5_SINCE = {"tensorrt": (11, 2, 1), "tensorrt-rtx": (1, 6)}


def build_engines(
    bundle: Bundle,
    flavour: str,
    capabilities: Sequence[int],
    *,
    precision: str | None = None,
    split_ops: bool = False,
    profile: Profile | None = None,
    memory_bytes: int = CARD_BYTES,
    store: EngineStore | None = None,
    rebuild: bool = False,
) -> list[tuple[StoredEngine, bool]]:
    """Build one engine (or one per segment) for each compute capability into the store.

    Args:
        bundle: The model.
        flavour: "tensorrt-rtx" or "tensorrt".
        capabilities: Compute capabilities as numbers (86 for 8.6); full TensorRT takes only the
            one of the card in this machine.
        precision: "fp16" stores the features of an fp32 graph in half precision before the build;
            None keeps the graph as it is. Segments keep the precision of their bundle.
        split_ops: One engine per segment of a bundle exported with `--split-ops`, in place of one
            for the whole graph.
        profile: Axis name -> (smallest, typical, largest) size; other axes get the whole range of
            the spec.
        memory_bytes: Memory of the card; a profile that cannot fit is refused.
        store: Where engines go.
        rebuild: Build engines again that the store already has.

    Returns:
        Each engine, and whether it was built now.

    Raises:
        MissingDependencyError: The flavour is not installed.
        EngineError: The flavour cannot build this graph, capability, precision or profile, or the
            profile holds no size of which the bundle has known results.
        BundleError: `split_ops`, and the bundle has no segments; or its known results are damaged.
        ExportError: The profile does not fit the spec, or the graph has an op that this cineflow
            does not know.
    """
    trt = import_flavour(flavour)
    version = str(trt.__version__)
    profile = complete_profile(bundle.spec, profile or {})
    require_known_results(bundle, profile)
    _require_capabilities(trt, flavour, capabilities)
    model = onnx.load(bundle.onnx_path)
    precision = precision or bundle.precision
    if precision == "fp16" and bundle.precision == "fp32" and not split_ops:
        to_half(model)
    elif precision != bundle.precision:
        own = {bundle.precision} if split_ops else {bundle.precision, "fp16"}
        raise EngineError(
            f"{bundle.served_name} in {' or '.join(sorted(own))}",
            precision,
            f"Export it with --precision {precision}{' --split-ops' if split_ops else ''}"
            if precision in PRECISIONS
            else "Leave --precision out for the bundle's own",
        )
    require_grid_rank(model, flavour, version)
    require_memory(model, bundle.spec, profile, memory_bytes)
    graphs = _segments(bundle) if split_ops else {bundle.spec.name: (model, bundle.hash)}
    ranges = ranges_of(model, bundle.spec, profile)
    store = store or EngineStore()
    built = []
    for capability in capabilities:
        for name, (graph, digest) in graphs.items():
            key = EngineKey(
                model=name,
                onnx_sha256=digest,
                flavour=flavour,
                version=version,
                capability=str(capability),
                precision=precision,
                profile=profile,
            )
            build = EngineBuild(trt, flavour, name, graph, capability, ranges)
            with sizes_explained(model, bundle.spec, *at_sizes(profile)):
                built.append(store.get_or_build(key, build, rebuild=rebuild))
    return built


def _segments(bundle: Bundle) -> dict[str, tuple[onnx.ModelProto, str]]:
    """Graph and hash of each segment, by the name that the runtime asks the store for."""
    files = [step.segment for step in read_steps(bundle) if step.segment is not None]
    return {
        f"{bundle.spec.name}/{file.stem}": (onnx.load(file), file_sha256(file)) for file in files
    }


def _require_capabilities(trt: Any, flavour: str, capabilities: Sequence[int]) -> None:
    if flavour == "tensorrt":
        # It builds for the card it finds, whatever is requested, so any other label would be wrong.
        card = int(card_capability(import_cupy()))
        if list(capabilities) != [card]:
            raise EngineError(
                f"--sm {card}, the card of this machine: full TensorRT builds only for it",
                ",".join(map(str, capabilities)),
                "Build on a machine with that card, or with --runtime tensorrt-rtx",
            )
    names = supported_capabilities(trt, flavour)
    for capability in capabilities:
        if names and capability not in names:
            raise EngineError(
                f"a compute capability that {flavour} {trt.__version__} builds for: "
                f"{', '.join(map(str, names))}",
                str(capability),
                "SM 87, 90, 100 and 110 need full TensorRT on the card itself",
            )


def require_grid_rank(model: onnx.ModelProto, flavour: str, version: str) -> None:
    """Raise `EngineError` if `model` samples volumes and this TensorRT cannot."""
    rank = grid_sample_rank(model)
    if rank > 4 and version_tuple(version) < GRID_RANK_5_SINCE[flavour]:
        raise EngineError(
            "GridSample of rank 5: TensorRT-RTX 1.6, TensorRT 11.2.1, or newer",
            f"rank {rank} for {flavour} {version}",
            "Build with --runtime tensorrt-rtx, version 1.6 or newer",
        )
