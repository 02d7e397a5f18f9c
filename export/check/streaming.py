"""Whether a model whose feed is a stream of frames can be streamed: `cineflow repo` asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cineflow.errors import BundleError, SpecError
from cineflow.export.check.findings import WARNING, Finding
from cineflow.runtime.bundle import MANIFEST_FILE, Bundle
from cineflow.runtime.streamable import require_streamable
from cineflow.spec import ModelSpec


def stream_findings(spec: ModelSpec) -> Iterator[Finding]:
    """A warning for a model of a streaming feed that no stream can run.

    The model itself is sound, so it is exported; but `cineflow repo` will refuse to serve it.
    """
    if not spec.feed.streams:
        return
    try:
        require_streamable(spec)
    except SpecError as error:
        yield Finding(
            WARNING,
            "not-streamable",
            f"no stream can run {spec.name}, and `cineflow repo` will refuse it: wanted "
            f"{error.wanted}; got {error.got}",
            error.remedy or "Change the model's border, or its spec",
        )


def spec_beside(file: Path) -> ModelSpec | None:
    """The spec of the bundle that an ONNX file belongs to; None for a file of its own."""
    if not (file.parent / MANIFEST_FILE).is_file():
        return None
    try:
        bundle = Bundle.load(file.parent.resolve())
    except BundleError:
        return None
    return bundle.spec if file.name in bundle.manifest["files"] else None
