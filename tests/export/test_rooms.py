"""The rooms inside export/: their arrows have no circle, and no import hides in a function."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXPORT = Path(__file__).resolve().parents[2] / "export"

#: In this order, each room uses only itself and rooms before it.
ORDER = ("_face", "recipe", "recipes", "ops", "graph", "check", "bundle", "engines", "verify")
ORDER += ("triton", "builtin")


def imports(file: Path) -> list[tuple[str, bool]]:
    """Rooms of export that a file imports, each with whether that is inside a function."""
    found = []
    tree = ast.parse(file.read_text())
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "cineflow.export":
            names = [f"cineflow.export.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            if name.startswith("cineflow.export."):
                found.append((name.split(".")[2], id(node) in inside))
    return found


def files() -> list[Path]:
    return [file for file in sorted(EXPORT.rglob("*.py")) if file != EXPORT / "__init__.py"]


def test_every_file_has_a_room() -> None:
    assert {file.relative_to(EXPORT).parts[0].removesuffix(".py") for file in files()} == set(ORDER)


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(EXPORT)))
def test_a_room_uses_rooms_before_it_only(file: Path) -> None:
    own = file.relative_to(EXPORT).parts[0].removesuffix(".py")
    before = ORDER[: ORDER.index(own) + 1]
    for room, in_function in imports(file):
        assert room in before, f"{own} imports {room}"
        assert not in_function, f"the import of {room} hides in a function"


@pytest.mark.parametrize("room", ["bundle", "check", "engines", "graph", "triton", "verify"])
def test_importing_a_room_loads_no_heavy_library_and_its_face_is_whole(room: str) -> None:
    code = (
        f"import sys, cineflow.export.{room} as room;"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'tritonclient', 'jinja2'} & set(sys.modules);"
        "assert not heavy, heavy; [getattr(room, name) for name in room.__all__]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError(\"No module\", name='onnx')")
    code = "from cineflow.export import export_bundle"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "MissingDependencyError: wanted onnx, for cineflow.export" in done.stderr
    assert "pip install cineflow[export]" in done.stderr
