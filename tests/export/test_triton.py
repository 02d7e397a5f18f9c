"""The Triton repository: generated from the spec, read by the real parser, committed as is."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from cineflow.errors import BundleError, ExportError, SpecError
from cineflow.export import write_repository
from cineflow.export.bundle.contents import file_entry
from cineflow.export.triton import Limits, protobuf, write_committed
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow.spec import ModelSpec
from cineflow_client import Client

COMMITTED = Path(__file__).resolve().parents[2] / "triton_repo"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("lucas_kanade")


@pytest.fixture
def repository(bundle: Bundle, tmp_path: Path) -> Path:
    return write_repository([bundle], tmp_path / "repo")


def read_config(folder: Path) -> model_config_pb2.ModelConfig:
    text = (folder / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def files(folder: Path) -> list[str]:
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_committed_repository_is_the_generated_one(bundle: Bundle, tmp_path: Path) -> None:
    write_committed(bundle, tmp_path)
    assert files(COMMITTED) == files(tmp_path)
    same, different, unreadable = filecmp.cmpfiles(
        COMMITTED, tmp_path, files(tmp_path), shallow=False
    )
    assert (different, unreadable) == ([], []), "run `python -m cineflow.export.builtin`"
    assert same


def test_committed_files_keep_their_names_when_the_model_changes(
    bundle: Bundle, tmp_path: Path
) -> None:
    write_committed(bundle, tmp_path)
    before = files(tmp_path)
    first = read_config(tmp_path / bundle.spec.name).parameters["served_name"].string_value
    write_committed(changed(bundle, tmp_path / "changed"), tmp_path)
    config = read_config(tmp_path / bundle.spec.name)
    kept = [name for name in files(tmp_path / bundle.spec.name) if not name.startswith("bundle/")]
    assert kept == files(COMMITTED / bundle.spec.name)
    assert set(before) <= set(files(tmp_path))
    assert config.name == bundle.spec.name
    assert config.parameters["served_name"].string_value != first == bundle.served_name


def changed(bundle: Bundle, folder: Path) -> Bundle:
    """The same model with another node name, so with another hash."""
    shutil.copytree(bundle.path, folder)
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].name += "_changed"
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = file_entry(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


def test_committed_repository_is_served_by_triton(
    server_binary: Path, moving_frames: np.ndarray, tmp_path: Path
) -> None:
    shutil.copytree(COMMITTED, tmp_path / "models")
    with (
        TritonServer(tmp_path / "models", binary=server_binary) as server,
        Client(server.url) as client,
        client.stream("lucas_kanade") as stream,
    ):
        results = [stream.push(frame) for frame in moving_frames[:3]]
    assert results[-1].flow.shape == (2, 128, 160)


def test_stream_is_a_sequence_under_its_hashed_name(repository: Path, bundle: Bundle) -> None:
    config = read_config(repository / bundle.served_name)
    assert config.name == bundle.served_name
    assert config.backend == "python"
    names = ["frame", "frame_f32", "frame_index", "beat", "time_ms", "spacing_mm", "state"]
    assert [tensor.name for tensor in config.input] == names
    assert all(tensor.optional for tensor in config.input)
    outputs = {tensor.name: list(tensor.dims) for tensor in config.output}
    assert outputs == {
        "flow": [2, -1, -1], "displacement": [2, -1, -1], "quality_parts": [9], "beat_info": [5],
        "strain": [-1, -1, -1], "state": [-1], "indices": [7], "notes": [-1], "computed": [2],
        "deadline": [4],
    }  # fmt: skip
    assert config.sequence_batching.HasField("oldest")


def test_client_learns_the_spec_from_the_configuration(repository: Path, bundle: Bundle) -> None:
    parameters = read_config(repository / bundle.served_name).parameters
    assert parameters["bundle"].string_value == "lucas_kanade"
    assert ModelSpec.from_json(parameters["spec"].string_value) == bundle.spec


def test_alias_leads_to_the_hashed_name(repository: Path, bundle: Bundle) -> None:
    alias = read_config(repository / "lucas_kanade")
    (step,) = alias.ensemble_scheduling.step
    assert step.model_name == bundle.served_name
    assert alias.output == read_config(repository / bundle.served_name).output


def test_bundle_on_disk_travels_with_the_repository(fresh_default: Bundle, tmp_path: Path) -> None:
    write_repository([fresh_default], tmp_path)
    parameters = read_config(tmp_path / fresh_default.served_name).parameters
    assert parameters["bundle"].string_value == "bundle"
    carried = Bundle.load(tmp_path / fresh_default.served_name / "bundle")
    assert carried.hash == fresh_default.hash


def test_other_models_and_older_hashes_stay(repository: Path, smoother: Bundle) -> None:
    before = files(repository)
    write_repository([smoother], repository, backend="onnxruntime")
    assert set(before) < set(files(repository))


def test_a_folder_that_was_not_generated_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    repository = write_repository([bundle], tmp_path)
    write_repository([bundle], tmp_path)
    alias = repository / bundle.spec.name
    (alias / "config.pbtxt").write_text('name: "lucas_kanade"  # by hand\n')
    (alias / "mine.txt").touch()
    before = files(repository)
    with pytest.raises(BundleError, match="other content") as caught:
        write_repository([bundle], tmp_path)
    assert str(alias) in str(caught.value)
    assert files(repository) == before


def test_repository_does_not_take_the_place_of_its_bundle(bundle: Bundle, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / bundle.spec.name
    shutil.copytree(bundle.path, mine)
    inside = write_repository([bundle], tmp_path / "repo") / bundle.spec.name / "inside"
    shutil.copytree(bundle.path, inside)
    for folder, out in ((mine, tmp_path / "mine"), (inside, tmp_path / "repo")):
        before = files(out)
        with pytest.raises(BundleError, match="other content"):
            write_repository([Bundle.load(folder)], out)
        assert files(out) == before


def test_model_that_the_stream_cannot_run_is_refused_before_anything_is_written(
    bundle: Bundle, smoother: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(SpecError):
        Stream(open_engine(smoother), smoother.spec)
    with pytest.raises(ExportError, match="a stream of frames") as caught:
        write_repository([bundle, smoother], tmp_path / "repo")
    assert "--backend onnxruntime" in caught.value.remedy
    assert not (tmp_path / "repo").exists()


def test_the_same_bundle_twice_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="another content"):
        write_repository([bundle, bundle], tmp_path)


def test_two_precisions_of_one_model_have_an_alias_each(bundle: Bundle, tmp_path: Path) -> None:
    half = changed(bundle, tmp_path / "half")
    half.manifest["precision"] = "fp16"
    third = changed(half, tmp_path / "third")
    third.manifest["precision"] = "fp16"
    bundles = [bundle, half, third]
    repository = write_repository(bundles, tmp_path / "repo")
    names = {path.name for path in repository.iterdir()}
    aliases = {"lucas_kanade": bundle, "lucas_kanade-fp16": half}
    assert names == {*aliases, *(one.served_name for one in bundles)}
    for name, stands_for in aliases.items():
        config = read_config(repository / name)
        assert config.name == name
        assert config.ensemble_scheduling.step[0].model_name == stands_for.served_name


@pytest.mark.slow
def test_two_precisions_of_one_model_are_served_at_once(
    bundle: Bundle, server_binary: Path, moving_frames: np.ndarray, tmp_path: Path
) -> None:
    half = changed(bundle, tmp_path / "half").path
    manifest = json.loads((half / "manifest.json").read_text())
    (half / "manifest.json").write_text(json.dumps(manifest | {"precision": "fp16"}))
    bundles = [bundle, Bundle.load(half)]
    repository = write_repository(bundles, tmp_path / "repo")
    with TritonServer(repository, binary=server_binary) as server, Client(server.url) as client:
        names = ("lucas_kanade", "lucas_kanade-fp16")
        for name, stands_for in zip(names, bundles, strict=True):
            with client.stream(name) as stream:
                assert stream.model.served_name == stands_for.served_name
                assert stream.push(moving_frames[0]).current == 0


@pytest.mark.parametrize("content", [None, b"\xff", b"name: x"], ids=["none", "binary", "other"])
def test_an_unusable_configuration_is_named(content: bytes | None, tmp_path: Path) -> None:
    """To `cineflow load`, which reads the limits of the model that it replaces."""
    if content is not None:
        (tmp_path / "config.pbtxt").write_bytes(content)
    with pytest.raises(BundleError, match=r"config\.pbtxt.*cineflow repo"):
        protobuf.read_config(tmp_path)


def test_limits_are_in_the_configuration(bundle: Bundle, tmp_path: Path) -> None:
    limits = Limits(places=1000, idle_s=2.5, threads=3)
    config = read_config(
        write_repository([bundle], tmp_path / "repo", limits=limits) / bundle.served_name
    )
    assert config.parameters["places"].string_value == "1000"
    assert config.parameters["threads"].string_value == "3"
    assert config.sequence_batching.max_sequence_idle_microseconds == 2_500_000
    assert config.sequence_batching.oldest.max_candidate_sequences > 2 * 1000


@pytest.mark.parametrize("limits", [{"places": 0}, {"idle_s": 0.5}, {"threads": -1}])
def test_limits_out_of_range(limits: dict[str, int]) -> None:
    with pytest.raises(ExportError, match="from"):
        Limits(**limits)


def test_place_that_cannot_be_written_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="write"):
        write_repository([bundle], tmp_path / "file" / "repo")


def test_text_that_does_not_survive_the_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = model_config_pb2.ModelConfig(name="x")
    monkeypatch.setattr(text_format, "MessageToString", lambda message: 'name: "y"\n')
    with pytest.raises(ExportError, match="parses back"):
        protobuf.to_text(config)
