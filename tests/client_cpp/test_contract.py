"""Facts that the C++ client repeats are those of the protocol and of the Python client."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

import cineflow_client
from cineflow.served import CONTRACT, DATATYPES, LAST_INDEX
from cineflow_client import connection, history

SOURCE = Path(__file__).resolve().parents[2] / "client" / "cpp"
HEADER = (SOURCE / "include/cineflow_client.hpp").read_text()


def messages() -> list[tuple[str, str]]:
    """Each message of the definition with what is written in it, the outer ones first."""
    text = re.sub(r"//.*", "", (SOURCE / "proto/wire.proto").read_text())
    found = []
    for start in re.finditer(r"message (\w+) \{", text):
        depth, end = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append((start[1], text[start.end() : end - 1]))
    return found


def theirs(name: str) -> dict[str, int]:
    """Fields of the protocol's own message, with their numbers."""
    for module in (service_pb2, model_config_pb2):
        for message in module.DESCRIPTOR.message_types_by_name.values():
            for one in (message, *message.nested_types):
                if one.name == name:
                    return {field.name: field.number for field in one.fields}
    raise AssertionError(f"no message {name}")


@pytest.mark.parametrize(("name", "body"), messages(), ids=[name for name, _ in messages()])
def test_field_numbers(name: str, body: str) -> None:
    own = re.sub(r"message \w+ \{[^}]*\}", "", body)
    fields = {field: int(number) for field, number in re.findall(r"(\w+) = (\d+);", own)}
    assert fields.items() <= theirs(name).items()


def test_versions_and_limits() -> None:
    assert f"kContract = {CONTRACT};" in HEADER
    assert f"kLastIndex = std::int64_t{{1}} << {LAST_INDEX.bit_length() - 1};" in HEADER
    own = (SOURCE / "src/history.h").read_text() + (SOURCE / "src/history.cpp").read_text()
    assert f"kStateEvery = {history.STATE_EVERY};" in own
    assert f"kMostLosses = {history.MOST_LOSSES};" in own


def test_the_channels_options() -> None:
    text = (SOURCE / "src/connection.cpp").read_text()
    options = {
        name: int(value) for name, value in re.findall(r'\{"(grpc\.[\w.]+)", (-?\d+)\}', text)
    }
    assert options == dict(connection._OPTIONS)


def test_datatypes() -> None:
    rows = re.findall(
        r'"(\w+)", "([A-Z0-9]+)", (\d+), (\d+)\}', (SOURCE / "src/sizes.cpp").read_text()
    )
    assert {name: on_wire for name, on_wire, _, _ in rows} == DATATYPES
    for _, on_wire, number, _ in rows:
        assert model_config_pb2.DataType.Value(f"TYPE_{on_wire}") == int(number)


def test_errors_have_the_names_of_the_python_client() -> None:
    codes = re.findall(
        r"^  k(\w+)[ ,=]", HEADER.partition("enum class Code {")[2].partition("};")[0], re.M
    )
    raised = {
        name
        for name, one in vars(cineflow_client).items()
        if isinstance(one, type) and issubclass(one, cineflow_client.CineflowClientError)
    }
    # A base class, for which C++ has ends_stream; and C++ takes frames in host memory only.
    assert set(codes) - {"Ok"} == raised - {"StreamBroken", "CardUnavailable"}
    face = (SOURCE / "include/cineflow_client.h").read_text()
    of_c = re.findall(
        r"^  CFC_(\w+)[ ,=\n]", face.partition("enum cfc_code ")[2].partition("}")[0], re.M
    )
    assert [one.replace("_", "").lower() for one in of_c] == [one.lower() for one in codes]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_c_face_is_c() -> None:
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c"]
    done = subprocess.run(
        [*command, str(SOURCE / "include/cineflow_client.h")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
