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
from cineflow.export.bundle.probes import (
    make_probes,
    moving_texture,
    probe_sizes,
    typical_probe_sizes,
    write_probes,
)
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.probes import (
    KEPT_VALUES,
    PROBES_FILE,
    TYPICAL_PROBES_FILE,
    Allowance,
    Probes,
    kept,
)
from cineflow.runtime.probing import axis_sizes, read_probes, require_probes, run_probes
from cineflow.serving import ServerDiedError, TritonServer
from cineflow.spec import Feed, ModelSpec, TensorSpec


@pytest.fixture(scope="module")
def default() -> Bundle:
    return Bundle.load("lucas_kanade")


def with_probes(bundle: Bundle, probes: Probes | None, folder: Path) -> Bundle:
    """A copy of a bundle with other known results and a manifest that fits; None takes them out."""
    copied = shutil.copytree(bundle.path, folder)
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / TYPICAL_PROBES_FILE).unlink(missing_ok=True)
    manifest["files"].pop(TYPICAL_PROBES_FILE, None)
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
    probes = read_probes(default)[0]
    for result in probes.results:
        result["flow"][...] += np.float32(0.31)
    return with_probes(default, probes, tmp_path / "tampered")


def test_the_default_model_gives_its_known_answers(default: Bundle) -> None:
    probes = read_probes(default)[0]
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
    assert read_probes(older) == []
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
    probes = make_probes(COUNTER, Counter(), "a formula", no_inputs, {})
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


class Narrow:
    """An engine that was built for one size, as a narrow --profile makes one."""

    name, kernels = "narrow", "none"

    def __init__(self, bundle: Bundle, height: int, width: int, off: float = 0.0) -> None:
        self.model = bundle.served_name
        self._inner, self._size, self._off = open_engine(bundle), (height, width), off

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in inputs.items():
            if array.shape[-2:] != self._size:
                raise ProfileError(f"{name} of a shape in the profile", f"{list(array.shape)}")
        return {name: out + np.float32(self._off) for name, out in self._inner.run(inputs).items()}


@pytest.fixture(scope="module")
def both_sizes(default: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model with known results of small and of typical frames, from its own engine."""
    copied = shutil.copytree(default.path, tmp_path_factory.mktemp("sizes") / "bundle")
    write_probes(copied, default.spec, open_engine(default), "itself", no_inputs, [])
    manifest = json.loads((copied / "manifest.json").read_text())
    for name in (PROBES_FILE, TYPICAL_PROBES_FILE):
        manifest["files"][name] = {"sha256": file_sha256(copied / name)}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(copied)


def test_an_engine_for_other_sizes_is_refused(both_sizes: Bundle) -> None:
    """Nothing is known about what it gives, so it must not serve."""
    with pytest.raises(ProfileError) as error:
        require_probes(both_sizes, Narrow(both_sizes, 512, 512))
    assert "height 64, width 80 or height 256, width 256" in error.value.wanted
    assert "--profile" in error.value.remedy


def test_an_engine_for_typical_sizes_is_asked_for_those(both_sizes: Bundle) -> None:
    small, typical = read_probes(both_sizes)
    assert axis_sizes(small, both_sizes.spec) == {"height": 64, "width": 80}
    assert axis_sizes(typical, both_sizes.spec) == {"height": 256, "width": 256}
    (found,) = require_probes(both_sizes, Narrow(both_sizes, 256, 256))
    assert found.passed
    with pytest.raises(EngineError, match=r"flow: 0\.31 px, allowed 0\.01"):
        require_probes(both_sizes, Narrow(both_sizes, 256, 256, off=0.31))


def test_a_bundle_of_before_says_that_a_new_export_has_a_typical_size(
    default: Bundle, tmp_path: Path
) -> None:
    older = with_probes(default, read_probes(default)[0], tmp_path / "older")
    with pytest.raises(ProfileError, match="export the bundle again"):
        require_probes(older, Narrow(older, 256, 256))


def test_the_command_asks_for_a_size_that_the_engine_takes(
    both_sizes: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner()
    for size, code in ((256, 0), (512, 2)):
        monkeypatch.setattr(
            "cineflow.runtime.open_engine", lambda bundle, runtime, n=size: Narrow(bundle, n, n)
        )
        ran = run.invoke(_app(), ["probe", str(both_sizes.path)])
        assert ran.exit_code == code, ran.output


# -- the measure of each role ----------------------------------------------------------------------


def probed(spec: ModelSpec, known: Mapping[str, np.ndarray]) -> Probes:
    """Probes of a call that has `known` as its outputs."""

    class Known:
        name, kernels, model = "known", "none", "known-0"

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return dict(known)

    return make_probes(spec, Known(), "a test", lambda sizes, seed: {"x": ONE}, {})


ONE = np.ones((1, 1), np.float32)


def called(*outputs: TensorSpec) -> ModelSpec:
    x = TensorSpec("x", "float32", (1, 1), "1")
    return ModelSpec("called", "A model.", (x,), outputs, feed=Feed("call"))


def blob(x: float, y: float) -> np.ndarray:
    """A heat map [1, 1, 32, 48] with its peak at (x, y)."""
    across = np.arange(48)[None, :] - x
    down = np.arange(32)[:, None] - y
    return np.exp(-(across**2 + down**2) / 18).astype(np.float32)[None, None]


def test_heat_maps_are_judged_by_their_peaks_in_pixels(tmp_path: Path) -> None:
    maps = TensorSpec(
        "maps", "float32", (1, 1, 32, 48), "probability", tolerance=0.5, role="heat_maps"
    )
    probes = probed(called(maps), {"maps": 0.4 * blob(10, 12)})
    (same,) = probes.judge([{"maps": 0.2 * blob(10, 12)}])
    assert same.passed  # its height does not move it
    (near,) = probes.judge([{"maps": 0.4 * blob(10.3, 12)}])
    assert near.passed
    (far,) = probes.judge([{"maps": 0.4 * blob(38, 12)}])  # no value differs by more than 0.4
    assert not far.passed
    assert str(far) == "maps: 28 px, allowed 0.5"
    for broken in (np.full((1, 1, 32, 48), np.nan, np.float32), ONE[0]):
        assert np.isinf(probes.judge([{"maps": broken}])[0].worst)
    file = tmp_path / "probes.npz"
    file.write_bytes(probes.to_bytes())
    with np.load(file) as arrays:
        again = Probes.from_arrays(dict(arrays))
    assert again.allowances == probes.allowances
    assert not again.judge([{"maps": 0.4 * blob(38, 12)}])[0].passed


def test_heat_maps_of_a_coarse_grid_are_judged_in_pixels_of_the_frame() -> None:
    spec = ModelSpec(
        "coarse", "Heat maps.",
        (TensorSpec("frame", "float32", (1, 1, 128, 192), "grey level"),),
        (TensorSpec("maps", "float32", (1, 1, 32, 48), "1", tolerance=2.0, role="heat_maps"),),
        feed=Feed("frame", ("frame",)),
    )  # fmt: skip

    class At:
        name, kernels, model = "at", "none", "at-0"

        def __init__(self, x: float) -> None:
            self._map = blob(x, 12)

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"maps": self._map}

    probes = make_probes(spec, At(10), "a test", no_inputs, {})
    (found,) = probes.judge(run_probes(probes, At(11), spec))
    assert found.worst == pytest.approx(4.0, abs=0.01)  # one sample is four pixels
    assert not found.passed


@pytest.mark.parametrize("tolerance", [None, 0.01])
def test_labels_are_judged_by_their_share_with_and_without_a_tolerance(
    tolerance: float | None,
) -> None:
    labels = TensorSpec("z", "int64", (1, 32, 32), "class", tolerance=tolerance, role="labels")
    known = np.zeros((1, 32, 32), np.int64)
    probes = probed(called(labels), {"z": known})
    one = known.copy()
    one[0, 3, 4] = 2
    (found,) = probes.judge([{"z": one}])
    assert found.passed, found
    one[0, :1] = 2
    assert not probes.judge([{"z": one}])[0].passed


def test_points_are_judged_by_their_distance() -> None:
    points = TensorSpec("p", "float32", (1, 3, 2), "px", tolerance=0.5, role="points")
    known = np.zeros((1, 3, 2), np.float32)
    probes = probed(called(points), {"p": known})
    other = known.copy()
    other[0, 1] = 0.3, 0.35
    assert probes.judge([{"p": other}])[0].passed
    other[0, 1] = 0.4, 0.4  # each coordinate alone would pass
    (found,) = probes.judge([{"p": other}])
    assert not found.passed
    assert found.worst == pytest.approx(0.566, abs=1e-3)


def test_the_frames_of_a_window_are_told_from_its_coordinates() -> None:
    points = TensorSpec("p", "float32", (3, 2, 5), "px", tolerance=0.5, role="points", time_axis=2)
    known = np.zeros((3, 2, 5), np.float32)
    probes = probed(called(points), {"p": known})
    other = known.copy()
    other[1, 0] = 0.4  # one coordinate in every frame
    assert probes.judge([{"p": other}])[0].worst == pytest.approx(0.4)


def test_probe_sizes_differ_and_fit_the_spec(default: Bundle) -> None:
    assert probe_sizes(default.spec) == {"height": 64, "width": 80}
    assert typical_probe_sizes(default.spec) == {"height": 256, "width": 256}
    assert typical_probe_sizes(COUNTER) is None
