"""Known results: written at export, asked of the engine that will serve, refused if they differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.errors import BundleError, EngineError, ProfileError
from cineflow.export import write_repository
from cineflow.export.bundle.probes import make_probes, moving_texture, probe_sizes
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.probes import (
    KEPT_VALUES,
    PROBES_FILE,
    Allowance,
    Probes,
    kept,
    read_probes,
    require_probes,
    run_probes,
)
from cineflow.serving import ServerDiedError, TritonServer
from cineflow.spec import Feed, ModelSpec, TensorSpec


@pytest.fixture(scope="module")
def default() -> Bundle:
    return Bundle.load("lucas_kanade")


def with_probes(bundle: Bundle, probes: Probes | None, folder: Path) -> Bundle:
    """A copy of a bundle with other known results and a manifest that fits; None takes them out."""
    copied = shutil.copytree(bundle.path, folder)
    manifest = json.loads((copied / "manifest.json").read_text())
    if probes is None:
        (copied / PROBES_FILE).unlink()
        del manifest["files"][PROBES_FILE]
    else:
        (copied / PROBES_FILE).write_bytes(probes.to_bytes())
        manifest["files"][PROBES_FILE]["sha256"] = file_sha256(copied / PROBES_FILE)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(copied)


@pytest.fixture
def tampered(default: Bundle, tmp_path: Path) -> Bundle:
    """The default model with known results that are 0.31 px off, as if its engine were."""
    probes = read_probes(default)
    assert probes is not None
    for result in probes.results:
        result["flow"][...] += np.float32(0.31)
    return with_probes(default, probes, tmp_path / "tampered")


def test_the_default_model_gives_its_known_answers(default: Bundle) -> None:
    probes = read_probes(default)
    assert probes is not None
    assert probes.made_by.startswith("torch ")
    assert probes.frames is not None
    assert probes.frames.dtype == np.uint8
    assert np.abs(probes.results[1]["flow"]).mean() > 0.1  # something moves
    (found,) = require_probes(default, open_engine(default))
    assert (found.output, found.unit, found.allowed) == ("flow", "px", 0.01)
    assert found.worst <= 0.01


def test_an_engine_that_answers_otherwise_is_refused_in_pixels(tampered: Bundle) -> None:
    with pytest.raises(EngineError, match=r"flow: 0\.31 px, allowed 0\.01"):
        require_probes(tampered, open_engine(tampered))


def test_the_server_refuses_to_serve_such_an_engine(
    server_binary, tampered: Bundle, tmp_path: Path
) -> None:
    models = write_repository([tampered], tmp_path / "models")
    with pytest.raises(ServerDiedError) as error:
        TritonServer(models, binary=server_binary).start()
    assert "flow: 0.31 px, allowed 0.01" in error.value.log_tail


def test_a_bundle_of_before_has_none_and_still_serves(default: Bundle, tmp_path: Path) -> None:
    older = with_probes(default, None, tmp_path / "older")
    said: list[str] = []
    assert read_probes(older) is None
    assert require_probes(older, open_engine(older), said.append) == []
    assert "has no probes" in said[0]


def test_probes_that_do_not_fit_the_manifest_are_refused(default: Bundle, tmp_path: Path) -> None:
    copied = shutil.copytree(default.path, tmp_path / "copied")
    (copied / PROBES_FILE).write_bytes(b"PK nothing")
    with pytest.raises(BundleError, match="as its manifest says"):
        read_probes(Bundle.load(copied))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"][PROBES_FILE]["sha256"] = file_sha256(copied / PROBES_FILE)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="probes in"):
        read_probes(Bundle.load(copied))


def test_the_command_asks_the_engine_here_and_the_server(
    server, default: Bundle, tampered: Bundle
) -> None:
    run = CliRunner()
    for options in ([], ["--url", server.url]):
        good = run.invoke(_app(), ["probe", "lucas_kanade", *options])
        assert good.exit_code == 0, good.output
        assert "gives the known results of lucas_kanade-" in good.output
        bad = run.invoke(_app(), ["probe", str(tampered.path), *options])
        assert bad.exit_code == 2, bad.output
        assert "flow: 0.31 px, allowed 0.01" in bad.output


# -- without a bundle ------------------------------------------------------------------------------


class Counter:
    """A recurrent model: it adds the frame's mean to what it carries, and `drift` every time."""

    name, kernels, model = "counter", "none", "counter-0"

    def __init__(self, drift: float = 0.0) -> None:
        self._drift = np.float32(drift)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        total = inputs["sum_in"] + inputs["frame"].mean() / 255 + self._drift
        return {"total": total, "sum_out": total}


COUNTER = ModelSpec(
    "counter",
    "Adds.",
    (TensorSpec("frame", "float32", (1, 1, 16, 24), "grey level"),),
    (TensorSpec("total", "float32", (1, 1), "1", tolerance=0.01),),
    states=(TensorSpec("sum", "float32", (1, 1), "1", tolerance=0.01),),
    feed=Feed("frame", ("frame",)),
)


def no_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    raise AssertionError("a model without given inputs needs none")


@pytest.mark.parametrize(("drift", "passes"), [(0.009, True), (0.011, False)])
def test_a_state_may_carry_its_tolerance_on_from_frame_to_frame(drift: float, passes: bool) -> None:
    probes = make_probes(COUNTER, Counter(), "a formula", no_inputs)
    assert len(probes.results) == 4
    (found,) = probes.judge(run_probes(probes, Counter(drift), COUNTER))
    assert found.passed is passes


def test_probes_survive_their_file() -> None:
    probes = Probes(
        allowances={"y": Allowance("px", 0.1), "z": Allowance("share", 0.01)},
        results=[{}, {"y": np.arange(3.0), "z": np.arange(3)}],
        frames=moving_texture(2, (8, 12), (0.0, 255.0)),
        first={"points": np.ones((1, 2), np.float32)},
        each={"ecg": np.arange(2.0)},
        made_by="a test",
    )
    content = probes.to_bytes()
    assert content == probes.to_bytes()
    import io

    with np.load(io.BytesIO(content)) as arrays:
        again = Probes.from_arrays(dict(arrays))
    assert again.allowances == probes.allowances
    assert again.results[0] == {}
    np.testing.assert_array_equal(again.results[1]["y"], np.arange(3.0))
    steps = list(again.steps())
    assert [sorted(given) for _, given in steps] == [["ecg", "points"], ["ecg"]]
    assert again.to_bytes() == content


def test_labels_are_judged_by_the_share_that_differs() -> None:
    probes = Probes({"z": Allowance("share", 0.01)}, [{"z": np.zeros(1000, np.int64)}])
    other = np.zeros(1000, np.int64)
    other[:10] = 3
    assert probes.judge([{"z": other}])[0].passed
    other[10] = 1
    (found,) = probes.judge([{"z": other}])
    assert str(found) == "z: 0.011 of the values differ, allowed 0.01"


@pytest.mark.parametrize(
    "answer", [{}, {"y": np.zeros(3)}, {"y": np.array([0.0, np.nan, 0.0, 0.0])}]
)
def test_what_cannot_be_compared_fails(answer: Mapping[str, np.ndarray]) -> None:
    probes = Probes({"y": Allowance("px", 0.1)}, [{"y": np.zeros(4)}])
    (found,) = probes.judge([answer])
    assert not found.passed
    assert "missing, of the wrong size or not finite" in str(found)


def test_large_outputs_are_thinned() -> None:
    assert len(kept(np.zeros((3, 100, 100)))) <= KEPT_VALUES
    np.testing.assert_array_equal(kept(np.arange(5)), np.arange(5))
    assert kept(np.zeros((0, 2))).size == 0


def test_an_engine_for_other_sizes_is_not_probed(default: Bundle) -> None:
    class Narrow:
        name, kernels, model = "narrow", "none", default.served_name

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            raise ProfileError("previous of a shape in the profile", "[1, 1, 64, 80]")

    said: list[str] = []
    assert require_probes(default, Narrow(), said.append) == []
    assert "was not probed" in said[0]


def test_probe_sizes_differ_and_fit_the_spec(default: Bundle) -> None:
    assert probe_sizes(default.spec) == {"height": 64, "width": 80}
