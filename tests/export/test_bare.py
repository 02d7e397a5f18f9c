"""Configurations for Triton's own backends: parsed by the real parser, engines by card."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from cineflow.errors import EngineError, ExportError
from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineKey, EngineStore


def read_config(folder: Path) -> model_config_pb2.ModelConfig:
    text = (folder / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("lucas_kanade")


def key(bundle: Bundle, capability: str, flavour: str = "tensorrt", **other: str) -> EngineKey:
    given = {"version": "11.4", "precision": "fp32"} | other
    return EngineKey(bundle.spec.name, bundle.hash, flavour, capability=capability, **given)


def test_onnxruntime_serves_the_graph_itself(bundle: Bundle, tmp_path: Path) -> None:
    write_repository([bundle], tmp_path, backend="onnxruntime")
    (folder,) = tmp_path.iterdir()
    config = read_config(folder)
    assert (config.name, config.platform) == (bundle.served_name, "onnxruntime_onnx")
    assert [(t.name, list(t.dims)) for t in config.input] == [
        ("previous", [1, 1, -1, -1]), ("current", [1, 1, -1, -1]),
    ]  # fmt: skip
    assert list(config.output[0].dims) == [1, 2, -1, -1]
    assert list(config.model_warmup[0].inputs["previous"].dims) == [1, 1, 256, 256]
    assert (folder / "1" / "model.onnx").read_bytes() == bundle.onnx_path.read_bytes()
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO


def test_states_become_implicit_state(smoother: Bundle, tmp_path: Path) -> None:
    write_repository([smoother], tmp_path, backend="onnxruntime")
    config = read_config(tmp_path / smoother.served_name)
    (state,) = config.sequence_batching.state
    assert (state.input_name, state.output_name) == ("past_in", "past_out")
    assert [tensor.name for tensor in config.input] == ["image", "flow"]
    assert not config.model_warmup, "a warm-up would run without the state"


def test_engines_are_named_by_the_card_s_capability(bundle: Bundle, tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    for capability in ("86", "120"):
        store.get_or_build(key(bundle, capability), capability.encode)
    write_repository([bundle], tmp_path / "repo", backend="tensorrt", store=store)
    folder = tmp_path / "repo" / bundle.served_name
    names = dict(read_config(folder).cc_model_filenames)
    assert names == {"8.6": "model_cc86.plan", "12.0": "model_cc120.plan"}
    assert (folder / "1" / "model_cc120.plan").read_bytes() == b"120"
    assert not (folder / "1" / read_config(folder).default_model_filename).exists()


def test_of_several_engines_the_one_that_fits_best_is_served(
    bundle: Bundle, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path / "engines")
    versions = {"10.9": "fp32", "11.4": "fp32", "11.5": "fp16", "9.9": "fp32"}
    for version, precision in versions.items():
        wanted = key(bundle, "86", version=version, precision=precision)
        store.get_or_build(wanted, version.encode)
    write_repository([bundle], tmp_path / "repo", backend="tensorrt", store=store)
    folder = tmp_path / "repo" / bundle.served_name
    assert (folder / "1" / "model_cc86.plan").read_bytes() == b"11.4"
    kind = read_config(folder).instance_group[0].kind
    assert kind == model_config_pb2.ModelInstanceGroup.KIND_GPU


def test_rtx_engines_are_not_served(bundle: Bundle, tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    store.get_or_build(key(bundle, "86", "tensorrt-rtx"), lambda: b"plan")
    with pytest.raises(EngineError, match="no backend for TensorRT-RTX"):
        write_repository([bundle], tmp_path / "repo", backend="tensorrt", store=store)
    assert not (tmp_path / "repo").exists()


def test_unknown_backend_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="onnxruntime"):
        write_repository([bundle], tmp_path, backend="pytorch")
