"""The section "How to add an op" of csrc/README.md, followed on a copy of the repository.

The README names the files to copy and the lines to add. Here the template becomes an op `replica`,
and the tests of the copy run on it: nothing but those files and lines may be needed.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "csrc/template"
MOST_FILES, MOST_LINES = 12, 6
NAME = "replica"

#: Every way to run an op on this machine; each must have run a test on the new one.
FRONTS = ("baseline", "torch", "cuda", "onnx-kernel", "onnx-body")

RECIPE = f"""
import torch

from cineflow import ops
from cineflow.spec import ModelSpec, TensorSpec

IMAGE = (1, 1, 16, 24)
SPEC = ModelSpec(
    name="copies",
    summary="A new op between two convolutions.",
    inputs=(TensorSpec("image", "float32", IMAGE, "grey level"),),
    outputs=(TensorSpec("copy", "float32", IMAGE, "grey level", tolerance=1e-2),),
)


class Copies(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.second = torch.nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, image):
        return self.second(ops.{NAME}(self.first(image)))


def build():
    torch.manual_seed(0)
    return Copies()


def example_inputs(sizes, seed):
    return {{"image": torch.rand(IMAGE, generator=torch.Generator().manual_seed(seed))}}
"""

#: Element types of the new op's inputs in a bundle's graph.
TYPES = f"""
import sys
import onnx
from cineflow.export.ops import inferred

model = inferred(onnx.load(sys.argv[1]))
(node,) = [node for node in model.graph.node if node.op_type == "{NAME.capitalize()}"]
values = (*model.graph.input, *model.graph.value_info)
print([v.type.tensor_type.elem_type for v in values if v.name in node.input])
"""


def section() -> str:
    text = (ROOT / "csrc/README.md").read_text()
    return text[text.index("## How to add an op") :].split("\n## ")[0]


def new_files() -> dict[str, str]:
    """Each file of the template, and its place in the repository."""
    rows = re.findall(r"^\| `template/([\w/.]*)<op>(\.\w+)` \| `([\w/]+)` \|", section(), re.M)
    return {f"{folder}identity{ending}": f"{to}identity{ending}" for folder, ending, to in rows}


def new_lines() -> list[tuple[str, str]]:
    """Each file to edit, and the line to add."""
    (block,) = re.findall(r"^```text\n(.*?)^```", section(), re.M | re.S)
    return [(name, line) for name, line in (row.split(maxsplit=1) for row in block.splitlines())]


def renamed(text: str) -> str:
    return text.replace("identity", NAME).replace("Identity", NAME.capitalize())


def follow(copy: Path) -> None:
    """Do what the README says in `copy`, under another name."""
    for name, place in new_files().items():
        target = copy / renamed(place)
        assert not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(renamed((TEMPLATE / name).read_text()))
    for name, line in new_lines():
        lines = (copy / name).read_text().splitlines()
        (like,) = difflib.get_close_matches(line.replace("identity", "warp"), lines, 1, cutoff=0)
        indent = like[: len(like) - len(like.lstrip())]
        lines.insert(lines.index(like), indent + renamed(line))
        (copy / name).write_text("\n".join(lines) + "\n")


def listed(folder: Path) -> list[str]:
    """Tracked and new files, without those that git ignores."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others"]
    done = subprocess.run([*command, "--exclude-standard"], capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name and (folder / name).is_file()]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the new op."""
    folder = tmp_path_factory.mktemp("repository")
    for name in listed(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    follow(folder)
    return folder


def test_the_readme_names_every_file_of_the_template() -> None:
    files = {
        str(path.relative_to(TEMPLATE))
        for path in TEMPLATE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(new_files()) == files


def test_an_op_is_few_files_and_lines(copy: Path) -> None:
    before, after = set(listed(ROOT)), set()
    changed = 0
    for path in copy.rglob("*"):
        if not path.is_file():
            continue
        name = str(path.relative_to(copy))
        after.add(name)
        if name in before:
            texts = [file.read_bytes().split(b"\n") for file in (ROOT / name, path)]
            if texts[0] != texts[1]:
                blocks = difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes()
                changed += sum(max(b - a, d - c) for tag, a, b, c, d in blocks if tag != "equal")
    assert len(after - before) <= MOST_FILES
    assert 0 < changed <= MOST_LINES


@pytest.fixture(scope="module")
def environment(copy: Path) -> dict[str, str]:
    """In which Python imports the copy's cineflow, built with the CUDA shim."""
    headers = ROOT / "build/onnxruntime"
    if headers.exists():
        (copy / "build").mkdir()
        (copy / "build/onnxruntime").symlink_to(headers)
    site = copy / "build/site"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(copy)])}
    code = "from tests.core.builds import build; print(build('cuda-shim', WITH_CUDA='SHIM'))"
    bindings = Path(run(copy, variables, "-c", code).strip().splitlines()[-1])
    (site / "cineflow").mkdir(parents=True)
    libraries = [*bindings.glob("python/_C*.so"), *bindings.glob("onnxruntime/*.so")]
    for path in (*(copy / "src/cineflow").iterdir(), copy / "export", *libraries):
        (site / "cineflow" / path.name).symlink_to(path)
    return variables


def run(copy: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run this Python in the copy; what it printed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_new_op_passes_the_tests_of_every_op(copy: Path, environment: dict[str, str]) -> None:
    said = run(
        *(copy, environment, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "not slow"),
        *("-k", NAME, "tests/ops", "tests/core", "tests/export"),
    )
    passed = re.findall(rf"^(\S*{NAME}\S*) PASSED", said, re.M)
    for front in FRONTS:
        assert any(re.search(rf"test_agrees\S*\[{front}\b", test) for test in passed), front
    for file in ("ops/test_pages", "ops/test_torch_library", "core/test_cupy_front"):
        assert any(file in test for test in passed), file


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_new_op_is_exported_verified_and_counted(
    copy: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    recipe, bundle = tmp_path / "copies.py", tmp_path / "bundle"
    recipe.write_text(RECIPE)
    cineflow = (copy, environment, "-c", "from cineflow.cli import main; main()")
    run(*cineflow, "export", str(recipe), "--out", str(bundle), "--precision", "fp16")
    # The op runs in f16 (10): its input is a feature.
    assert run(copy, environment, "-c", TYPES, str(bundle / "model.onnx")).strip() == "[10]"
    run(*cineflow, "verify", str(bundle), "--recipe", str(recipe), "--report", str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"]
    # Two convolutions of 3 x 3 between one channel and two; a copy is free.
    assert report["summary"]["multiply_adds"] == 2 * 16 * 24 * 18


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_engine_is_built_with_the_new_op(
    copy: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    recipe, bundle = tmp_path / "copies.py", tmp_path / "bundle"
    recipe.write_text(RECIPE)
    cineflow = (copy, environment, "-c", "from cineflow.cli import main; main()")
    run(*cineflow, "export", str(recipe), "--out", str(bundle), "--precision", "fp16")
    store = ("--store", str(tmp_path / "engines"))
    assert "built" in run(*cineflow, "engine", "build", str(bundle), "--sm", "120", *store)
