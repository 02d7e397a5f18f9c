"""The C# example has the structs and functions of the C face: offsets, sizes, names."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "client" / "cpp"
HEADER = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/cineflow_client.h").read_text(), flags=re.S)
SHARP = re.sub(r"//.*", "", (SOURCE / "examples/Cineflow.cs").read_text())

SIZES = {"byte": 1, "int": 4, "uint": 4, "long": 8, "ulong": 8, "double": 8}


def pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def of_c() -> dict[str, list[str]]:
    """The fields of each struct of the header."""
    found = {}
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} cfc_(\w+);", HEADER, re.S):
        fields = []
        for line in body.split(";"):
            for one in line.split(","):
                if words := re.findall(r"\w+", re.sub(r"\[.*?\]", "", one)):
                    fields.append(words[-1])
        found[name] = fields
    return found


def of_sharp() -> dict[str, dict[str, tuple[int, int]]]:
    """Offset and size of each field, as C# lays them out in sequence; "" stands for the struct."""
    found = {}
    for name, body in re.findall(r"public struct (\w+)\s*\{(.*?)\n    \}", SHARP, re.S):
        at, widest = 0, 1
        places = {}
        for array, kind, rest in re.findall(
            r"^        public (fixed )?([\w*]+) ([^();]+);", body, re.M
        ):
            size = SIZES.get(kind, 8)  # a pointer
            for one in rest.split(","):
                field, _, count = one.strip().partition("[")
                at += -at % size
                whole = size * (int(count[:-1]) if array else 1)
                places[field] = (at, whole)
                at += whole
                widest = max(widest, size)
        places[""] = (0, at + -at % widest)
        found[name] = places
    return found


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_structs_lie_as_in_c(tmp_path: Path) -> None:
    structs = of_c()
    lines = []
    for name, fields in structs.items():
        lines += [f"FIELD({name}, {field})" for field in fields]
        lines.append(f'printf("{name}::0:%zu\\n", sizeof(cfc_{name}));')
    program = (
        '#include <stdio.h>\n#include "cineflow_client.h"\n'
        '#define FIELD(name, field) printf(#name ":" #field ":%zu:%zu\\n", '
        "offsetof(cfc_##name, field), sizeof(((cfc_##name*)0)->field));\n"
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    (tmp_path / "layout.c").write_text(program)
    subprocess.run(
        ["gcc", f"-I{SOURCE / 'include'}", tmp_path / "layout.c", "-o", tmp_path / "layout"],
        check=True,
    )
    said = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    in_c: dict[str, dict[str, tuple[int, int]]] = {}
    for line in said.splitlines():
        name, field, at, size = line.split(":")
        in_c.setdefault(pascal(name), {})[pascal(field)] = (int(at), int(size))
    assert len(in_c) == 9
    assert of_sharp() == in_c


def kind_in_c(parameter: str) -> str:
    if "*" in parameter:
        return "pointer"
    kind = re.sub(r"\bconst\b", "", parameter).split()[0]
    kinds = {
        "double": "double", "size_t": "UIntPtr", "int32_t": "int", "uint32_t": "uint",
        "uint64_t": "ulong", "void": "void",
    }  # fmt: skip
    return kinds.get(kind, "int")  # an enum


def kind_in_sharp(parameter: str) -> str:
    kind = parameter.split()[0]
    return kind if kind in ("double", "UIntPtr", "int", "uint", "ulong", "void") else "pointer"


def test_functions_take_what_they_take_in_c() -> None:
    in_c = {}
    for returns, name, parameters in re.findall(
        r"CFC_API ([\w *]+?)\s*\b(cfc_\w+)\(([^)]*)\);", HEADER
    ):
        each = [] if parameters == "void" else [kind_in_c(one) for one in parameters.split(",")]
        in_c[name] = (kind_in_c(returns), each)
    in_sharp = {}
    for returns, name, parameters in re.findall(
        r"static extern (\w+) (cfc_\w+)\(([^)]*)\);", SHARP
    ):
        each = [kind_in_sharp(one) for one in parameters.split(",") if one.strip()]
        returned = kind_in_sharp(returns)
        in_sharp[name] = ("pointer" if returned == "IntPtr" else returned, each)
    assert len(in_c) > 40
    assert in_sharp == in_c


def values(enum: str) -> list[str]:
    """The names of an enum of C in order, in lower case and without underscores."""
    body = HEADER.partition(f"enum {enum} ")[2].partition("}")[0]
    return [name.replace("_", "").lower() for name in re.findall(r"^  CFC_(\w+)", body, re.M)]


def test_version_and_values() -> None:
    text = (SOURCE / "CMakeLists.txt").read_text()
    (version,) = re.findall(r"project\(cineflow_client VERSION (\S+) ", text)
    major, minor, patch = (int(part) for part in version.split("."))
    number = f"0x{major << 16 | minor << 8 | patch:06x}"
    assert f"#define CFC_VERSION {number}u" in HEADER
    assert f"const uint Version = {number};" in SHARP
    assert f'"libcineflow_client.so.{major}.{minor}"' in SHARP
    constants = re.findall(r"public const int ([^;]+);", SHARP)
    for name, value in re.findall(r"(\w+) = (\d+)", " ".join(constants)):
        assert name.lower() in (values("cfc_code")[int(value)], values("cfc_dtype")[int(value)])
