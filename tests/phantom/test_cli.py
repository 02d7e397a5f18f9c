"""`cineflow phantom`: each option reaches the phantom, and invalid options are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.phantom import Beat, Region, Shadow, ShortAxisPhantom, Tissue, ventricle


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(_app(), ["phantom", *arguments])
    return done.exit_code, done.output


def test_options_reach_the_phantom(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    code, said = run(
        "short-axis", "--out", str(path), "--seed", "4", "--size", "64x80", "--heart-rate", "75",
        "--frame-rate", "10", "--beats", "0.5", "--noise", "20", "--decorrelation", "0.1",
        "--clutter", "0.3", "--shadow", "5,10,12", "--region", "40,60,0.5",
    )  # fmt: skip
    assert code == 0, said
    assert "4 frames of 64x80" in said
    same = ShortAxisPhantom(
        4,
        size=(64, 80),
        beat=Beat(75.0, 10.0, 0.5),
        scanner={"noise_db": 20.0, "shadows": (Shadow(5.0, 10.0, 12.0),)},
        tissue=Tissue(decorrelation=0.1, clutter=0.3),
        regions=(Region(40.0, 60.0, 0.5),),
    )
    with np.load(path) as data:
        np.testing.assert_array_equal(data["frames"], same.frames)
        np.testing.assert_array_equal(data["displacement"][2], same.displacement(2))


def test_volumes_and_mr(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    code, said = run(
        "ventricle", "--out", str(path), "--size", "16x20x18", "--frame-rate", "4",
        "--contrast", "mr", "--region", "90,80,0,0.2,0.9",
    )  # fmt: skip
    assert code == 0, said
    assert "4 volumes of 16x20x18" in said
    same = ventricle(
        0,
        size=(16, 20, 18),
        contrast="mr",
        beat=Beat(frame_rate_hz=4.0),
        regions=(Region(90.0, 80.0, 0.0, (0.2, 0.9)),),
    )
    with np.load(path) as data:
        np.testing.assert_array_equal(data["frames"], same.frames)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "64"), "size"),
        (("--size", "axb"), "size"),
        (("--shadow", "1,2"), "shadow"),
        (("--region", "1,2,3,4"), "region"),
        (("--contrast", "ct"), "contrast"),
        (("--contrast", "mr", "--clutter", "1"), "MR scanner"),
        (("ventricle", "--size", "64x64"), "3 numbers"),
        (("--size", "64.7x64"), "whole numbers"),
        (("--size", "0x64"), "whole numbers"),
        (("--noise", "nan"), "noise_db"),
        (("--clutter", "nan"), "clutter"),
        (("--shadow", "nan,5,20"), "angle_deg"),
        (("--seed", "-1"), "seed"),
        (("--beats", "inf"), "beats"),
        (("--beats", "1e12"), "10000 frames"),
        (("--region", "40,60,-6"), "contraction"),
    ],
)
def test_invalid_options_are_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    path = tmp_path / "p.npz"
    code, output = run("--out", str(path), *arguments)
    assert code == 2
    assert said in output
    assert not path.exists()


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, output = run(
        "--out", str(tmp_path / "file" / "p.npz"), "--size", "16x16", "--beats", "0.1"
    )
    assert code == 2
    assert "can be written" in output
