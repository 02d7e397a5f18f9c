"""The layering of the repository: which room may use what.

A room is a folder or module of the table below. Imports and includes are read from the files. Each
Python room is also imported in a fresh process, to check that the import does not load a library
that should load on first use.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUND = {
    "errors",
    "local_key",
    "served",
    "spec",
}  # standard library and numpy only; every room may use them
FORMATS = {"PIL", "cv2", "nibabel", "pydicom"}
ENGINES = {"cupy", "onnxruntime", "tensorrt", "tensorrt_rtx", "torch"}


@dataclass(frozen=True)
class Room:
    """One row of the table.

    Attributes:
        name: Import name of the room.
        path: Its folder or file, from the repository's root.
        rooms: Other rooms of `cineflow` that it may import.
        libraries: Third-party packages that it may import.
        lazily: Third-party packages that it may import on first use only.
    """

    name: str
    path: str
    rooms: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    lazily: set[str] = field(default_factory=set)


ROOMS = [
    Room("cineflow.errors", "src/cineflow/errors.py"),
    Room("cineflow.served", "src/cineflow/served", set(), {"numpy"}),
    Room("cineflow.local_key", "src/cineflow/local_key.py"),
    Room("cineflow.spec", "src/cineflow/spec", GROUND, {"numpy"}),
    Room("cineflow.ops", "src/cineflow/ops", {"_C"}, {"numpy"}, {"torch", "onnx", "cupy"}),
    Room("cineflow.reference", "src/cineflow/reference", set(), {"numpy"}),
    Room("cineflow.models", "src/cineflow/models", {"ops"}, {"numpy", "torch"}),
    Room("cineflow.motion", "src/cineflow/motion", {"ops"}, {"numpy"} | FORMATS),
    Room(
        "cineflow.cine",
        "src/cineflow/cine",
        {"ops"},
        {"numpy", "jpeg_ls", "openjpeg"} | FORMATS,
        {"SimpleITK", "imagecodecs"},
    ),
    Room("cineflow.phantom", "src/cineflow/phantom", {"ops", "cine"}, {"numpy"} | FORMATS),
    Room(
        "cineflow.report",
        "src/cineflow/report",
        {"cine", "motion"},
        {"numpy", "matplotlib", "PIL", "jinja2", "cv2"},
    ),
    Room(
        "cineflow.filing",
        "src/cineflow/filing",
        {"cine", "motion", "report"},
        {"numpy", "PIL", "cv2"},
        {"highdicom", "nibabel", "pydicom", "pynetdicom"},
    ),
    Room("cineflow.runtime", "src/cineflow/runtime", {"ops", "motion"}, {"numpy"}, ENGINES),
    Room(
        "cineflow.serving",
        "src/cineflow/serving",
        {"runtime"},
        {"numpy"},
        {"tritonclient", "triton_python_backend_utils"},
    ),
    Room(
        "cineflow.export",
        "export",
        {"ops", "models", "runtime", "motion", "phantom"},
        {"numpy"},
        ENGINES
        | {
            "google",
            "jinja2",
            "onnx",
            "onnx_ir",
            "onnxscript",
            "safetensors",
            "tritonclient",
            "yaml",
        },
    ),
    Room(
        "cineflow.cli",
        "src/cineflow/cli",
        {
            "_C",
            "cine",
            "export",
            "filing",
            "motion",
            "ops",
            "phantom",
            "report",
            "runtime",
            "serving",
        },
        {"numpy", "typer", "click", "rich"},
        ENGINES | {"cineflow_client", "onnx", "PIL", "cv2", "pydicom", "ray", "tritonclient"},
    ),
    Room(
        "cineflow_client",
        "client/src/cineflow_client",
        set(),
        {"numpy", "tritonclient", "grpc", "google"},
    ),
]
BY_NAME = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)


def python_files(room: Room) -> list[Path]:
    path = ROOT / room.path
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported_modules(source: Path, room: Room) -> set[str]:
    """Dotted names of every import in a file, including nested and relative imports.

    `import_module("name")` counts as an import.
    """
    base = ROOT / room.path
    inside = source.relative_to(base).with_suffix("").parts if base.is_dir() else ()
    package = [*room.name.split("."), *inside][: None if source.name == "__init__.py" else -1]
    package = [part for part in package if part != "__init__"]
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names.update(
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *(node.module.split(".") if node.module else [])])
            names.add(module)
            if module == "cineflow":  # `from cineflow import ops` also names a room
                names.update(f"cineflow.{alias.name}" for alias in node.names)
    return names - {"cineflow"}


def test_every_room_has_its_row() -> None:
    package = ROOT / "src/cineflow"
    there = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    rows = {Path(room.path).stem for room in ROOMS}
    assert there - {"__init__", "__pycache__", "bundles"} <= rows


@BY_NAME
def test_imports_follow_the_table(room: Room) -> None:
    files = python_files(room)
    assert files, f"{room.path} does not exist: remove its row from the table"
    own = room.name.removeprefix("cineflow.").split(".")[0]
    wrong = []
    for source in files:
        for name in sorted(imported_modules(source, room)):
            top, _, rest = name.partition(".")
            if top == "cineflow":
                target = rest.split(".")[0]
                fine = target in room.rooms | GROUND | {own, "__version__"}
                if room.name == "cineflow_client":
                    fine = False
            elif top == room.name.split(".")[0]:
                fine = True
            else:
                fine = top in sys.stdlib_module_names | room.libraries | room.lazily
            if not fine:
                wrong.append(f"{source.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


@BY_NAME
def test_importing_does_not_load_a_lazy_library(room: Room) -> None:
    lazily = room.lazily - room.libraries
    code = f"import sys, {room.name}; print(*sorted(set(sys.modules) & {lazily | {'torch'}!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - room.libraries
    assert not loaded, f"importing {room.name} loads {sorted(loaded)}"


@dataclass(frozen=True)
class Import:
    """One import of one module.

    Attributes:
        target: Dotted name of the module.
        function: Line at which the enclosing function starts; 0 at module level.
    """

    target: str
    function: int


def python_modules() -> dict[str, Path]:
    """Every module of the two distributions, by its dotted name."""
    found = {"cineflow": ROOT / "src/cineflow/__init__.py"}
    for room in ROOMS:
        base = ROOT / room.path
        for path in python_files(room):
            inside = path.relative_to(base).with_suffix("").parts if base.is_dir() else ()
            found[".".join([room.name, *(part for part in inside if part != "__init__")])] = path
    return found


MODULES = python_modules()


def imports_of(module: str) -> list[Import]:
    """The imports of a module, except those under TYPE_CHECKING, which never run."""
    found: list[Import] = []

    def visit(node: ast.AST, function: int) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                for other in child.orelse:
                    visit(other, function)
                continue
            found.extend(Import(name, function) for name in targets(child))
            inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            visit(child, function or (child.lineno if inner else 0))

    def targets(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}, line {node.lineno}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            known = {*MODULES, "cineflow._C"}
            return [name if name in known else str(node.module) for name in names]
        return []

    visit(ast.parse(MODULES[module].read_text(), str(MODULES[module])), 0)
    return found


IMPORTS = {module: imports_of(module) for module in MODULES}


def circles() -> list[list[str]]:
    """Groups of modules that import each other, also inside functions (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for target in {imported.target for imported in IMPORTS[module]} & set(MODULES):
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            first = stack.index(module)
            group, stack[first:] = stack[first:], []
            if len(group) > 1:
                found.append(sorted(group))

    for module in MODULES:
        if module not in order:
            visit(module)
    return found


def loaded_libraries(module: str) -> set[str]:
    """Third-party packages, and our extension `_C`, that importing a module loads."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting.append(name.rpartition(".")[0] or name)  # its package is imported first
            waiting += [imported.target for imported in IMPORTS[name] if not imported.function]
    tops = {name.partition(".")[0] for name in seen if name not in MODULES}
    tops |= seen & {"cineflow._C"}
    return tops - sys.stdlib_module_names - {"cineflow", "cineflow_client"}


#: Modules -> why their functions may import any of our modules.
ON_FIRST_USE = {
    "cineflow": "`import cineflow` is instant; its names load when they are used",
    "cineflow.cli": "a command loads its rooms when it runs: `cineflow --help` shows at once",
    "cineflow.export.recipes": "a recipe's settings are read without the model's code",
}


def test_no_modules_import_each_other() -> None:
    groups = circles()
    assert not groups, "\n".join(" <-> ".join(group) for group in groups)


def test_a_function_imports_our_modules_only_with_a_library_loaded_on_first_use() -> None:
    """An import inside a function must delay a heavy library. All others belong at the top."""
    wrong = []
    for module, imports in IMPORTS.items():
        room = ".".join(module.split(".")[: 3 if module.startswith("cineflow.export.") else 2])
        if room in ON_FIRST_USE:
            continue
        already = loaded_libraries(module)
        for function in {imported.function for imported in imports} - {0}:
            inside = {one.target for one in imports if one.function == function}
            ours = sorted(inside & set(MODULES))
            if ours and set().union(*map(loaded_libraries, inside)) <= already:
                wrong.append(f"{MODULES[module].relative_to(ROOT)}:{function} imports {ours}")
    assert not wrong, "\n".join(wrong)


#: Private folders of the core. A binding may include `core/include` only.
CORE_INSIDE = ("check/", "cpu/", "cuda/", "math/", "no_cuda/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
CXX = {".h", ".cpp", ".cu", ".cuh"}
FRAMEWORKS = re.compile(r"^(torch|ATen|c10|pybind11|onnxruntime|NvInfer|Python\.h)")
CUDA = re.compile(r"^(cuda|cub/|cooperative_groups|mma\.h|driver_types)")
#: Device types and conversions, which the shared math needs when nvcc compiles it.
DEVICE_TYPES = {name: {"cuda", "math"} for name in ("cuda_fp16.h", "cuda_bf16.h")}


def includes(folder: str) -> list[tuple[Path, str]]:
    files = [path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in CXX]
    assert files, f"no sources under {folder}"
    return [(path, name) for path in files for name in INCLUDE.findall(path.read_text())]


def test_the_core_includes_no_framework_and_cuda_only_in_its_folder() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} includes {name}"
        for path, name in includes("csrc/core")
        if FRAMEWORKS.match(name)
        or (CUDA.match(name) and path.parent.name not in DEVICE_TYPES.get(name, {"cuda"}))
    ]
    assert not wrong, "\n".join(wrong)


def test_a_binding_includes_the_core_and_its_own_sdk_only() -> None:
    sdks = {"python": "pybind11", "onnxruntime": "onnxruntime"}
    wrong = []
    for path, name in includes("csrc/bindings"):
        binding = path.relative_to(ROOT / "csrc/bindings").parts[0]
        sdk = FRAMEWORKS.match(name)
        foreign = sdk and not name.startswith((sdks[binding], "Python.h"))
        neighbour = any(f"bindings/{other}" in name for other in sdks if other != binding)
        if foreign or neighbour or name.startswith(CORE_INSIDE):
            wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong, "\n".join(wrong)
