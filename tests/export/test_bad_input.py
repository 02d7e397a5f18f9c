"""What a module, a disk or a store can do wrong: a typed error with a remedy, and nothing left.

The full and the read-only file system are real ones, mounted for the test; that needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.errors import BundleError, CineflowError, EngineError, ExportError
from cineflow.export import export_bundle, write_repository
from cineflow.export.verify import verify_bundle
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineKey, EngineStore

KEY = EngineKey("net", "ab" * 32, "tensorrt-rtx", "1.7", "86", "fp32")
BLEND = 'past = 0.5 * past + 0.5 * torch.ops.cineflow.warp(image, flow, "zeros")'

#: What the user's module does instead of blending -> what the error must name.
MODULES = {
    "past = image if image.mean() > 127.5 else past": "line 27 of recipe.py: past = image",
    "past = image if float(image.mean()) > 127.5 else past": "torch.where",
    "past = image * 2 if image.shape[-1] > 32 else image": "control flow",
    "self.calls = getattr(self, 'calls', 0) + 1; past = past * self.calls": "the same result",
    "past = past + torch.rand_like(past)": "the same result",
    "past = torch.linalg.qr(past.transpose(2, 3))[0].transpose(2, 3) + past": "aten.linalg_qr",
    "past = past + image": "no output depends on the input 'flow'",
    "past = past.reshape(1, 1, 16, 7)": "forward of smoother",
    "return self.edges(past), past.half()": "past_out: float32",
    "past = past * float('nan')": "not finite",
    "return {'image': past}, past": "dict",
    "raise SystemExit(0)": "forward of smoother .* SystemExit: 0",
    "exit(0) if torch.compiler.is_exporting() else 0": "to trace .* SystemExit: 0",
    "return self.edges(past), past.bfloat16()": "bfloat16",
}


@pytest.mark.parametrize("line", MODULES)
def test_module_that_cannot_be_one_graph(
    line: str,
    write_recipe: Callable[[str], Path],
    recipe_text: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert BLEND in recipe_text
    recipe = write_recipe(recipe_text.replace(BLEND, line))
    with pytest.raises(ExportError, match=MODULES[line]) as caught:
        export_bundle(recipe, tmp_path / "out")
    assert caught.value.remedy
    assert ("torch.where" in caught.value.remedy) == (" if " in line and "shape" not in line)
    assert capfd.readouterr() == ("", ""), "the error says it all"
    assert sorted(tmp_path.iterdir()) == [recipe]


#: Command line -> what the panel shows next to "remedy". FILE is a sound recipe, OPLESS one without
#: our ops, QUITS and LACKS fail to import,
#: LEAVES quits later.
COMMANDS = {
    "export FILE --weights absent.pt --out out": "--weights",
    "export FILE --precision bf16 --out out": "fp32, fp16",
    "export nonesuch --out out": "lucas_kanade",
    "export lucas_kanade --size 20 64 --out out": "64..1024 by 16",
    "export flow4d --variant big --out out": "small, paper",
    "export lucas_kanade --variant paper --out out": "it has none",
    "export OPLESS --split-ops --out out": "Leave --split-ops out",
    "export QUITS --out out": "SystemExit: 3 in line 3",
    "export LACKS --out out": "nonesuch_package",
    "export LEAVES --out out": "SystemExit: 0",
    "check empty.onnx": "empty file",
    "check absent.onnx": "Correct the path",
    "repo lucas_kanade lucas_kanade --out out": "another content",
    "repo lucas_kanade --backend pytorch --out out": "python, onnxruntime, tensorrt",
    "repo lucas_kanade --backend tensorrt --store store --out out": "engine build",
    "verify nonesuch": "cineflow export",
    "verify lucas_kanade --recipe nonesuch": "flow_pwc",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_panel_has_a_remedy(
    command: str, recipe_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    texts = {
        "FILE": recipe_text,
        "OPLESS": recipe_text.replace(BLEND, "past = past * image * flow[:, :1]"),
        "QUITS": recipe_text.replace("import torch\n", "import torch\nraise SystemExit(3)\n", 1),
        "LEAVES": recipe_text.replace(
            "    generator = ", "    raise SystemExit(0)\n    generator = "
        ),
        "LACKS": recipe_text.replace("import torch\n", "import nonesuch_package\n", 1),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "empty.onnx").touch()
    before = sorted(tmp_path.iterdir())
    arguments = [f"{word}.py" if word in texts else word for word in command.split()]
    done = CliRunner().invoke(_app(), arguments)
    assert done.exit_code == 2
    for word in ("wanted", "got", "remedy", COMMANDS[command]):
        assert word in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "cineflow-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=256k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Use every byte that is left."""
    with (disk / "ballast").open("wb") as stream:
        try:
            while True:
                os.write(stream.fileno(), bytes(4096))
        except OSError:
            pass


def lock(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@pytest.mark.parametrize("fault", [fill, lock])
def test_disk_that_takes_no_bundle(disk: Path, smoother: Bundle, recipe_text: str,
                                   write_recipe: Callable[[str], Path],
                                   fault: Callable[[Path], None]) -> None:  # fmt: skip
    recipe = write_recipe(recipe_text)
    older = export_bundle(recipe, disk / "bundle")
    fault(disk)
    before = sorted(disk.rglob("*"))
    for out in (disk / "bundle", disk / "new"):
        with pytest.raises(BundleError) as caught:
            export_bundle(recipe, out)
        assert "--out" in caught.value.remedy
    assert Bundle.load(disk / "bundle").hash == older.hash, "the older bundle is still there"
    assert sorted(disk.rglob("*")) == before


@pytest.mark.parametrize("fault", [fill, lock])
def test_disk_that_takes_no_engine(disk: Path, fault: Callable[[Path], None]) -> None:
    store = EngineStore(disk / "engines")
    sound, _ = store.get_or_build(KEY, lambda: b"plan")
    fault(disk)
    with pytest.raises(EngineError) as caught:
        store.get_or_build(KEY, lambda: bytes(8192), rebuild=True)
    assert "CINEFLOW_ENGINES" in caught.value.remedy
    again, built = store.get_or_build(KEY, lambda: pytest.fail("it is there"))
    assert not built
    assert again == sound


@pytest.mark.parametrize("fault", [fill, lock])
def test_disk_that_takes_no_report_and_no_repository(
    disk: Path, smoother: Bundle, fault: Callable[[Path], None]
) -> None:
    fault(disk)
    before = sorted(disk.rglob("*"))
    for write in (
        lambda: verify_bundle(smoother, write_to=disk / "report"),
        lambda: write_repository([smoother], disk / "repo", backend="onnxruntime"),
    ):
        with pytest.raises(CineflowError) as caught:
            write()
        assert caught.value.remedy
    left = {path.name for path in disk.rglob("*")} - {path.name for path in before}
    assert left <= {"report", "repo", "report.json"}, "no model is half there"
