"""A Triton model repository from bundles, generated from their specs.

    OUT/<model>-<hash8>/config.pbtxt   the stream: frames in, motion out, one sequence per clip
    OUT/<model>-<hash8>/1/model.py     imports `cineflow.serving.backend`
    OUT/<model>-<hash8>/bundle/        the bundle itself, unless it is a built-in one
    OUT/<model>/config.pbtxt           the alias: a one-step ensemble onto the newest hashed name
    OUT/<model>-<precision>/           the alias of a second bundle of the model (fp16 next to fp32)

A bundle is served under its hashed name because a version folder that is added to a loaded model
kills its live sequences. A client reads the alias once to learn which hashed name to use.

The repository that is committed has one folder per model, without a hash in its name:

    triton_repo/<model>/config.pbtxt   the stream; the hashed name is a parameter
    triton_repo/<model>/1/model.py
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cineflow.errors import BundleError, ExportError, SpecError
from cineflow.export.bundle.staging import placed
from cineflow.export.triton.bare import engines_of, write_model
from cineflow.export.triton.protobuf import CONFIG_FILE, HEADER, PREVIOUS_FILE, to_text
from cineflow.export.triton.served import (
    BUNDLE_FOLDER,
    Limits,
    alias_config,
    aliases_of,
    bundle_reference,
    ports_of,
    require_sizes,
    served_config,
)
from cineflow.runtime.bundle import Bundle, graph_inputs, graph_outputs
from cineflow.runtime.store import EngineStore
from cineflow.runtime.streamable import require_streamable

#: Ours with the stream, and Triton's own for the bare model.
BACKENDS = ("python", "onnxruntime", "tensorrt")

MODEL_PY = '''"""Entry point for Triton's Python backend, see `cineflow.serving.backend`."""

import os
import site

# Triton starts an isolated interpreter: it sees neither PYTHONPATH nor a virtual environment.
for folder in os.environ.get("CINEFLOW_SITE", "").split(os.pathsep):
    if folder:
        site.addsitedir(folder)

from cineflow.serving.backend import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
'''


def write_repository(
    bundles: Sequence[Bundle],
    out_dir: str | Path,
    *,
    backend: str = "python",
    store: EngineStore | None = None,
    limits: Limits | None = None,
    aliases: Mapping[str, Bundle] | None = None,
) -> Path:
    """Write the models of `bundles`, and the aliases of their streams.

    Other models in `out_dir` stay as they are, including earlier hashes of the same model. Each
    folder is put in place whole, so a server that polls never sees half of one.

    Args:
        bundles: At least one, each of another content. Of several bundles of one model the first
            gets the model's name as its alias; see `aliases_of`.
        out_dir: The repository; created if needed.
        backend: "python" for the stream around the model; "onnxruntime" or "tensorrt" for the bare
            model in Triton's own backends (NVIDIA's container).
        store: Engines for the backend "tensorrt".
        limits: What each model may take, for the backend "python".
        aliases: The bundle behind each alias, for the backend "python"; `aliases_of` by default.
            See `write_alias`.

    Returns:
        The repository's path.

    Raises:
        ExportError: No bundle, one of them twice, an unknown backend, a model that the stream
            cannot run, or a tensor without any axis.
        EngineError: The store has no engine for the backend "tensorrt".
        BundleError: `out_dir` cannot be written, or a model's folder has other content.
        MissingDependencyError: tritonclient or protobuf is not installed.
    """
    names = [bundle.served_name for bundle in bundles]
    if not names or len(set(names)) < len(names):
        raise ExportError(
            "at least one bundle, each of another content", f"{names}", "Name each of them once"
        )
    if backend not in BACKENDS:
        raise ExportError(
            f"a backend of {', '.join(BACKENDS)}", repr(backend), "Correct the name of --backend"
        )
    for bundle in bundles:  # refuse before anything is written
        if backend == "python":
            _require_stream(bundle)
            _require_ports(bundle)
            continue
        tensors = (*graph_inputs(bundle.spec), *graph_outputs(bundle.spec))
        require_sizes(bundle.served_name, {one.name: one.shape for one in tensors})
        if backend == "tensorrt":
            engines_of(bundle, store or EngineStore())
    out_dir = Path(out_dir)
    if aliases is None:
        aliases = aliases_of(bundles) if backend == "python" else {}
    for name in (*names, *aliases):
        _require_replaceable(out_dir / name, bundles)
    try:
        for bundle in bundles:
            if backend == "python":
                config = served_config(bundle, limits=limits)
                _write_served(out_dir / bundle.served_name, config, bundle)
                continue
            with placed(out_dir / bundle.served_name) as folder:
                config = write_model(bundle, backend, folder, store)
                (folder / CONFIG_FILE).write_text(to_text(config))
        for name, bundle in aliases.items():  # last: what they stand for is there
            write_alias(bundle, out_dir, name)
    except OSError as error:
        raise BundleError(f"to write {out_dir}", str(error), "Choose another folder") from error
    return out_dir


def write_alias(bundle: Bundle, out_dir: Path, alias: str) -> None:
    """Let `alias` stand for `bundle`, whose model is in `out_dir`.

    An alias that stood for another model keeps that for a rollback.

    Raises:
        BundleError: The alias' folder has other content.
        OSError: It cannot be written.
    """
    _require_replaceable(out_dir / alias, [bundle])
    _write_alias(out_dir / alias, alias_config(bundle, alias))


def write_committed(bundle: Bundle, out_dir: Path) -> None:
    """Write the stream of `bundle` under its plain name, as it is committed in `triton_repo/`.

    The paths do not change with the model, so its history shows what changed. Triton serves this
    folder as well; but a model that replaces it ends its live streams, as there is no alias.

    Args:
        bundle: The model.
        out_dir: The repository.

    Raises:
        ExportError: The stream cannot run the model.
        BundleError: The model's folder has other content.
        OSError: It cannot be written.
    """
    _require_stream(bundle)
    _require_ports(bundle)
    _require_replaceable(out_dir / bundle.spec.name, [bundle])
    config = served_config(bundle, bundle.spec.name)
    _write_served(out_dir / bundle.spec.name, config, bundle)


def _write_served(place: Path, config: Any, bundle: Bundle) -> None:
    """A model's folder, with its bundle: a repository can be moved to another machine."""
    with placed(place) as folder:
        (folder / CONFIG_FILE).write_text(to_text(config))
        (folder / "1").mkdir()
        (folder / "1" / "model.py").write_text(MODEL_PY)
        if bundle_reference(bundle) == BUNDLE_FOLDER:
            shutil.copytree(bundle.path, folder / BUNDLE_FOLDER)


def _write_alias(place: Path, config: Any) -> None:
    text, kept = to_text(config), ""
    before = place / CONFIG_FILE
    if before.is_file():
        kept = before.read_text()
        if kept == text and (place / PREVIOUS_FILE).is_file():
            kept = (place / PREVIOUS_FILE).read_text()
    with placed(place) as folder:
        (folder / CONFIG_FILE).write_text(text)
        if kept not in ("", text):
            (folder / PREVIOUS_FILE).write_text(kept)
        # Triton requires a version folder, and git does not keep an empty one.
        (folder / "1").mkdir()
        (folder / "1" / ".keep").touch()


def _require_replaceable(folder: Path, bundles: Sequence[Bundle]) -> None:
    """Raise `BundleError` unless `folder` is absent, empty, or a model that was generated here."""
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        config = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        config = ""
    holds_a_bundle = any(bundle.path.is_relative_to(folder.resolve()) for bundle in bundles)
    if holds_a_bundle or not config.startswith(HEADER):
        raise BundleError(
            "a model that `cineflow repo` wrote, or an empty folder",
            f"{folder} with other content",
            "Choose another --out",
        )


def _require_ports(bundle: Bundle) -> None:
    """Raise `ExportError` if Triton would refuse a tensor: no model of its server would start."""
    inputs, outputs = ports_of(json.loads(bundle.spec.to_json()))
    require_sizes(bundle.served_name, {port.name: port.shape for port in (*inputs, *outputs)})


def _require_stream(bundle: Bundle) -> None:
    """Raise `ExportError` if the stream would refuse the model when a sequence starts."""
    if not bundle.spec.feed.streams and not bundle.spec.states:
        return  # a call has the tensors of its spec, whatever they are
    try:
        require_streamable(bundle.spec)
    except SpecError as error:
        bare = "`cineflow repo --backend onnxruntime` serves the bare model"
        raise ExportError(
            f"for the stream, {error.wanted}",
            error.got,
            f"{error.remedy}. Or: {bare}" if error.remedy else bare,
        ) from error
