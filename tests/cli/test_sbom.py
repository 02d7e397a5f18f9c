"""The list of third-party licences, and the bill of materials: complete, and without GPL."""

from __future__ import annotations

import importlib.metadata
import json
import re
import runpy
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.cli.bill import Package, packages_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_lists_what_is_installed_and_nothing_is_gpl() -> None:
    pytest.importorskip("tomllib")
    writer = runpy.run_path(str(ROOT / "docs/third_party.py"))
    page = (ROOT / "docs/third_party.md").read_text()
    listed, here = writer["rows_of"](page), writer["rows"]()
    assert set(here) <= set(listed), "run `python docs/third_party.py`"
    assert {"numpy", "pydicom", "opencv-python-headless", "pyjpegls"} <= set(here)
    for name, licence in {**listed, **here}.items():
        assert licence != "not stated", name
        assert not Package(name, "", licence, False).is_gpl, f"{name} is under {licence}"


@pytest.mark.parametrize(
    ("licence", "gpl"),
    [
        ("GPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-only", True),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("MIT", False),
    ],
)
def test_gpl_is_recognised(licence: str, gpl: bool) -> None:
    assert Package("x", "1", licence, True).is_gpl == gpl


def test_the_video_library_was_built_without_gpl_parts() -> None:
    files = importlib.metadata.files("opencv-python-headless") or []
    libraries = [file for file in files if "libav" in file.name and ".so" in file.name]
    assert libraries
    for library in libraries:
        content = Path(str(library.locate())).read_bytes()
        assert b"--enable-gpl" not in content
        assert b"--enable-nonfree" not in content


def test_the_bill_is_cyclonedx(tmp_path: Path) -> None:
    done = CliRunner().invoke(_app(), ["sbom", "--out", str(tmp_path / "bom.json")])
    assert done.exit_code == 0, done.output
    bill = json.loads((tmp_path / "bom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.5", 1)
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:")).version == 4
    parts = {part["name"]: part for part in bill["components"]}
    assert {"numpy", "pydicom", "pillow", "onnxruntime", "typer"} <= set(parts)
    assert not {"pytest", "ruff", "mypy"} & set(parts)
    for name, part in parts.items():
        assert part["version"] == importlib.metadata.version(name)
        assert re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[^/@]+", part["purl"])
        (licence,) = part["licenses"]
        assert licence.keys() in ({"expression"}, {"license"})
    references = {part["bom-ref"] for part in parts.values()}
    assert len(references) == len(parts)
    graph = {row["ref"]: row["dependsOn"] for row in bill["dependencies"]}
    assert set(graph) == references | {bill["metadata"]["component"]["bom-ref"]}
    assert all(set(needs) <= references for needs in graph.values())


def test_extras_are_followed_where_they_are_asked_for() -> None:
    assert "tritonclient" not in packages_of(["typer"])
    plain, with_grpc = packages_of(["tritonclient"]), packages_of(["tritonclient[grpc]"])
    assert "grpcio" not in plain
    assert "grpcio" in with_grpc
