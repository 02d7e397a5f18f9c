"""Folders with what no clip is: pipes, devices, links, closed folders, strange names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import read_cine
from cineflow.cli.analyse.batch import Places, analyse_file
from cineflow.cli.analyse.files import Settings, clips_of
from cineflow.cli.analyse.job import Model
from cineflow.cli.analyse.wall_file import read_wall
from cineflow.errors import ArgumentError, CineError

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter, as pytest's own may not."""
    path = Path(tempfile.mkdtemp(prefix="cineflow-test-"))
    path.chmod(0o755)
    yield path
    for one in path.rglob("*"):
        if one.is_dir():
            one.chmod(0o700)
    shutil.rmtree(path)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, for which permissions do not count."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_closed_folder_is_in_the_list_and_stops_nothing(folder: Path, model: Model) -> None:
    for name, mode in (("closed", 0), ("listed only", 0o444), ("open", 0o755)):
        (folder / name).mkdir()
        (folder / name / "clip.dcm").write_bytes(b"no clip")
        (folder / name).chmod(mode)
    with as_nobody():
        found = clips_of([folder])
        assert found == [folder / "closed", folder / "listed only", folder / "open" / "clip.dcm"]
        for path in found[:2]:
            (row,) = analyse_file(path, Places(folder / "out"), model, Settings())
            assert (row["state"], row["reason"]) == ("refused", "Permission denied")


def test_pipes_devices_and_links_are_named(tmp_path: Path, model: Model) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "zeros.npz").symlink_to("/dev/zero")
    (tmp_path / "random.mp4").symlink_to("/dev/urandom")
    (tmp_path / "loop.dcm").symlink_to("loop.dcm")
    (tmp_path / "above").symlink_to("..")  # not followed, so that the walk ends
    found = clips_of([tmp_path])
    assert [path.name for path in found] == ["loop.dcm", "pipe.dcm", "random.mp4", "zeros.npz"]
    reasons = {}
    for path in found:
        (row,) = analyse_file(path, Places(tmp_path / "out"), model, Settings())
        assert row["state"] == "refused"
        reasons[path.name] = row["reason"]
    assert "loop" not in reasons["loop.dcm"]
    for name in ("pipe.dcm", "random.mp4", "zeros.npz"):
        assert "a pipe, a socket or a device" in reasons[name]


def test_a_wall_that_is_no_file_is_refused(tmp_path: Path, write_dicom, model: Model) -> None:
    """A pipe would be waited for, and a clip without its wall would be measured in silence."""
    clip = write_dicom(np.zeros((2, 16, 16), np.uint8))
    wall = clip.with_name("clip.dcm.wall.json")
    os.mkfifo(wall)
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings())
    assert "something else than a file" in row["reason"]
    wall.unlink()
    wall.symlink_to("nowhere")
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings())
    assert row["reason"] == "No such file or directory"
    wall.unlink()
    wall.write_text("[" * 100_000)
    with pytest.raises(ArgumentError, match="a file of JSON"):
        read_wall(wall)


@pytest.mark.parametrize(
    "name",
    [b"Zyxwvuts\xff\xfe.dcm", b"Zyxwvuts\nline.dcm", b"Zyxwvuts\x1b[31m.dcm",
     b"=cmd|' -C Zyxwvuts'!A0.dcm", b"[bold]Zyxwvuts[red].dcm", b"<script>Zyxwvuts<.dcm",
     b"-Zyxwvuts {0} %s.dcm"],
    ids=ascii,
)  # fmt: skip
def test_strange_names_are_read_and_shown_nowhere(
    tmp_path: Path, write_dicom: Callable[..., Path], name: bytes, model: Model
) -> None:
    clip = tmp_path / os.fsdecode(name)
    write_dicom(np.zeros((2, 16, 16), np.uint8)).rename(clip)
    bad = tmp_path / os.fsdecode(name.replace(b"Zyxwvuts", b"Zyxwvuts bad"))
    bad.write_bytes(b"x" * 300)
    assert set(clips_of([tmp_path])) == {clip, bad}
    rows = [*analyse_file(clip, Places(tmp_path / "out"), model, Settings()),
            *analyse_file(bad, Places(tmp_path / "out"), model, Settings())]  # fmt: skip
    assert [row["state"] for row in rows] == ["done", "refused"]
    assert "Zyxwvuts" not in json.dumps(rows)
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"Zyxwvuts" not in path.read_bytes()


def test_a_clip_that_changes_while_it_is_read_has_no_result(
    tmp_path: Path, write_dicom: Callable[..., Path], moving_frames: np.ndarray, model: Model
) -> None:
    clip = write_dicom(moving_frames[:3, :64, :64])

    def grow(done: int, total: int) -> None:
        with clip.open("ab") as file:
            file.write(bytes(8))

    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings(), grow)
    assert "changed while it was read" in row["reason"]
    assert not list((tmp_path / "out").glob("*"))
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings())
    assert row["state"] == "done"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.dcm")
    with pytest.raises(CineError, match="a pipe"):
        read_cine(tmp_path / "clip.dcm")
