"""TensorRT engines: real builds without a GPU, and what is refused before and after."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from cineflow.errors import BundleError, EngineError, ExportError, MissingDependencyError
from cineflow.export import export_bundle
from cineflow.export.bundle.imported import import_bundle
from cineflow.export.engines import build, flavours
from cineflow.export.engines.build import build_engines
from cineflow.export.engines.builder import EngineBuild
from cineflow.export.engines.profile import complete_profile, default_profile, parse_profile
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.segments import read_steps
from cineflow.runtime.store import EngineStore
from tests.export.steps import step_counts

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)
RTX = "tensorrt-rtx"


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@pytest.fixture(scope="module")
def default() -> Bundle:
    return Bundle.load("lucas_kanade")


@needs_rtx
def test_default_builds_and_is_found_again(default: Bundle, store: EngineStore) -> None:
    ((engine, new),) = build_engines(default, RTX, [120], store=store)
    assert new
    assert engine.bytes > 10_000
    assert not engine.fault
    ((again, new),) = build_engines(default, RTX, [120], store=store)
    assert not new
    assert again == engine


@needs_rtx
def test_half_precision_is_an_engine_of_its_own(smoother: Bundle, store: EngineStore) -> None:
    (single, _), (half, _) = (
        build_engines(smoother, RTX, [89], store=store, precision=precision)[0]
        for precision in ("fp32", "fp16")
    )
    assert single.folder != half.folder
    assert half.key is not None
    assert half.key.precision == "fp16"


@needs_rtx
def test_every_segment_builds(fresh_default: Bundle, store: EngineStore) -> None:
    built = build_engines(fresh_default, RTX, [120], store=store, split_ops=True)
    segments = [step.segment for step in read_steps(fresh_default) if step.segment]
    assert [(e.key.model, e.key.onnx_sha256) for e, _ in built if e.key] == [
        (f"lucas_kanade/{file.stem}", file_sha256(file)) for file in segments
    ]


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("model", ["lucas_kanade", "flow_pwc"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_segment_of_every_model_builds_for_three_generations(
    model: str, precision: str, store: EngineStore, tmp_path: Path
) -> None:
    bundle = export_bundle(model, tmp_path / "bundle", precision=precision, split_ops=True)
    built = build_engines(bundle, RTX, [86, 89, 120], store=store, split_ops=True)
    assert len(built) == 3 * step_counts(bundle)["segment"]
    assert all(new and not engine.fault for engine, new in built)


@needs_rtx
def test_segments_of_a_bundle_that_was_not_split_name_the_flag(
    default: Bundle, store: EngineStore
) -> None:
    with pytest.raises(BundleError, match="--split-ops"):
        build_engines(default, RTX, [86], store=store, split_ops=True)


@needs_rtx
def test_segments_keep_the_precision_of_their_bundle(
    fresh_default: Bundle, store: EngineStore
) -> None:
    with pytest.raises(EngineError, match="--precision fp16 --split-ops"):
        build_engines(fresh_default, RTX, [86], store=store, split_ops=True, precision="fp16")
    assert store.engines() == []


@pytest.mark.parametrize("asked", [[89], [86, 89]])
def test_full_tensorrt_builds_for_the_card_of_the_machine_only(
    default: Bundle, store: EngineStore, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    card = SimpleNamespace(Device=lambda index: SimpleNamespace(compute_capability="86"))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=card))
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0"))
    with pytest.raises(EngineError, match="--sm 86"):
        build_engines(default, "tensorrt", asked, store=store)


@needs_rtx
def test_volumes_are_sampled(tmp_path: Path, store: EngineStore) -> None:
    onnx.save(onnx.parser.parse_model(VOLUME_GRAPH), tmp_path / "volume.onnx")
    (tmp_path / "volume.yaml").write_text(VOLUME_SPEC)
    bundle = import_bundle(tmp_path / "volume.onnx", tmp_path / "volume.yaml", tmp_path / "out")
    ((engine, new),) = build_engines(bundle, RTX, [86], store=store)
    assert new
    assert engine.bytes > 1000


@needs_rtx
@pytest.mark.parametrize(
    ("flavour", "precision", "wanted"),
    [
        (RTX, "int8", "in fp16 or fp32; got int8"),
        ("onnxruntime", None, "tensorrt-rtx, tensorrt; got 'onnxruntime'"),
    ],
)
def test_what_no_engine_can_be_is_refused(
    default: Bundle, store: EngineStore, flavour: str, precision: str | None, wanted: str
) -> None:
    with pytest.raises(EngineError, match=wanted) as caught:
        build_engines(default, flavour, [86], store=store, precision=precision)
    assert caught.value.remedy


@needs_rtx
def test_unknown_capability_is_refused(default: Bundle, store: EngineStore) -> None:
    with pytest.raises(EngineError, match="75, 80, 86, 89, 120, 121"):
        build_engines(default, RTX, [87], store=store)


@needs_rtx
def test_profile_beyond_memory_is_a_typed_error(store: EngineStore, tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(HUGE_GRAPH), tmp_path / "huge.onnx")
    bundle = SimpleNamespace(
        onnx_path=tmp_path / "huge.onnx",
        spec=Bundle.load("lucas_kanade").spec,
        hash="0" * 64,
        manifest={"files": {}},
        precision="fp32",
        served_name="huge",
    )
    with pytest.raises(EngineError, match="within 8 GiB"):
        build_engines(
            bundle, RTX, [86], store=store,
            profile={"height": (64, 1024, 1024), "width": (64, 1024, 1024)},
        )  # fmt: skip
    assert store.engines() == []


@needs_rtx
def test_graph_that_the_parser_refuses_is_a_typed_error(store: EngineStore, tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(FOREIGN_OP_GRAPH), tmp_path / "odd.onnx")
    bundle = SimpleNamespace(
        onnx_path=tmp_path / "odd.onnx",
        spec=Bundle.load("lucas_kanade").spec,
        hash="0" * 64,
        manifest={"files": {}},
        precision="fp32",
        served_name="odd",
    )
    with pytest.raises(EngineError, match="parse lucas_kanade"):
        build_engines(bundle, RTX, [86], store=store)


def test_absent_tensorrt_names_its_remedy(
    default: Bundle, monkeypatch: pytest.MonkeyPatch, store: EngineStore
) -> None:
    monkeypatch.setitem(flavours.MODULES, "tensorrt", "no_such_tensorrt")
    with pytest.raises(MissingDependencyError, match="Install `tensorrt`"):
        build_engines(default, "tensorrt", [86], store=store)


def test_unknown_runtime_is_refused(default: Bundle, store: EngineStore) -> None:
    with pytest.raises(EngineError, match="tensorrt-rtx"):
        build_engines(default, "openvino", [86], store=store)


@pytest.mark.parametrize(("version", "taken"), [("10.13.3", False), ("11.2.0", False),
                                                ("11.2.1", True), ("11.4.0.5", True)])  # fmt: skip
def test_full_tensorrt_takes_volumes_since_11_2_1(version: str, taken: bool) -> None:
    model = onnx.parser.parse_model(VOLUME_GRAPH)
    if taken:
        build.require_grid_rank(model, "tensorrt", version)
    else:
        with pytest.raises(EngineError, match=r"11\.2\.1"):
            build.require_grid_rank(model, "tensorrt", version)
    build.require_grid_rank(model, RTX, "1.7.1")
    with pytest.raises(EngineError, match=r"TensorRT-RTX 1\.6"):
        build.require_grid_rank(model, RTX, "1.5.0.114")


@pytest.mark.parametrize(("version", "flags"), [("10.13.3", 1 << 5), ("11.4.0", 0)])
def test_full_tensorrt_keeps_the_types_of_the_graph(
    default: Bundle, version: str, flags: int
) -> None:
    fake = SimpleNamespace(
        __version__=version, NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=5)
    )
    model = onnx.load(default.onnx_path)
    build = EngineBuild(fake, "tensorrt", "net", model, 86, ({}, {}, {}))
    assert build.network_flags() == flags


def test_profiles_are_read_and_checked(default: Bundle) -> None:
    assert default_profile(default.spec)["height"] == (64, 256, 1024)
    assert parse_profile(["height=64:128:256"]) == {"height": (64, 128, 256)}
    for bad in (["height=64"], ["height=a:b:c"], ["height=64:64:64", "height=64:64:128"]):
        with pytest.raises(ExportError, match="SMALLEST") as caught:
            parse_profile(bad)
        assert caught.value.remedy


@needs_rtx
def test_a_profile_without_a_known_result_is_refused_before_the_build(
    default: Bundle, store: EngineStore
) -> None:
    """Its server would refuse the engine: nothing is known of what it gives."""
    narrow = {"height": (512, 512, 512), "width": (512, 512, 512)}
    with pytest.raises(EngineError, match="height 64, width 80") as caught:
        build_engines(default, RTX, [86], store=store, profile=narrow)
    assert "height=512:512:512" in caught.value.got
    assert "--profile" in caught.value.remedy
    assert store.engines() == []


def test_an_axis_that_is_not_named_has_all_its_sizes(default: Bundle) -> None:
    profile = complete_profile(default.spec, {"height": (64, 128, 256)})
    assert profile == {"height": (64, 128, 256), "width": (64, 256, 1024)}


@pytest.mark.parametrize(
    "profile",
    [
        {"depth": (64, 128, 256)},
        {"height": (64, 128, 256), "width": (64, 128, 4096)},
        {"height": (64, 128, 256), "width": (256, 128, 64)},
        {"height": (64, 128, 256), "width": (64, 100, 256)},
    ],
)
def test_profile_outside_the_spec_is_refused(
    default: Bundle, profile: dict[str, tuple[int, int, int]]
) -> None:
    with pytest.raises(ExportError) as caught:
        complete_profile(default.spec, profile)
    assert caught.value.remedy


VOLUME_GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,4,4,4] x, float[1,4,4,4,3] g) => (float[1,1,4,4,4] y)
{ c = Clip (g) y = GridSample (x, c) }
"""
VOLUME_SPEC = """
name: volume
summary: Samples a volume.
inputs:
  - {name: x, dtype: float32, unit: grey level, shape: [1, 1, 4, 4, 4]}
  - {name: g, dtype: float32, unit: "1", shape: [1, 4, 4, 4, 3]}
outputs:
  - {name: y, dtype: float32, unit: grey level, tolerance: 0.01, shape: [1, 1, 4, 4, 4]}
"""
#: All pairs of pixels: 2^40 values at 1024 x 1024.
HUGE_GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,height,width] previous, float[1,1,height,width] current) => (float[a,b] flow)
<int64[2] column = {-1, 1}, int64[2] row = {1, -1}>
{
  p = Reshape (previous, column)
  c = Reshape (current, row)
  all = MatMul (p, c)
  flow = MatMul (all, all)
}
"""
FOREIGN_OP_GRAPH = """
<ir_version: 10, opset_import: ["" : 20, "vendor" : 1]>
main (float[1,1,height,width] previous, float[1,1,height,width] current)
  => (float[1,2,height,width] flow)
{ flow = vendor.Magic (previous, current) }
"""
