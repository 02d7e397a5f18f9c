"""Random numbers for weights are called untrained in C++, C and C#; and the server's times."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.export import write_repository
from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from cineflow_client import Client, ModelNotFound
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.fixtures import built, driver

__all__ = ["driver"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client

SAID = "Untrained weights: outputs are meaningless. "


@pytest.fixture(scope="module")
def random_bundle(other_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A tracker that needs no weights, with a spec that says they are of a seed."""
    place = tmp_path_factory.mktemp("random") / "bundle"
    folder = shutil.copytree(other_bundle.path, place)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"]["weights"]["source"] = "seed 0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


@pytest.fixture(scope="module")
def random_server(
    random_bundle: Bundle, server_binary: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    bundles = [Bundle.load("lucas_kanade"), random_bundle]
    models = write_repository(bundles, tmp_path_factory.mktemp("random") / "models", aliases={})
    with TritonServer(models, binary=server_binary) as running:
        yield running


@pytest.fixture(scope="module")
def trained_name() -> str:
    return Bundle.load("lucas_kanade").served_name


@pytest.fixture(scope="module")
def served_name(random_server: TritonServer, random_bundle: Bundle) -> str:
    with Client(random_server.url) as python:
        assert python.model(random_bundle.served_name).untrained
    return random_bundle.served_name


def test_the_models_information(
    driver: Driver, random_server: TritonServer, served_name: str, trained_name: str
) -> None:
    client = CppClient(driver, random_server.url)
    assert client.said("model", served_name)[-1] == "untrained"
    assert client.said("model", trained_name)[-1] == "trained"


def test_times_are_those_of_the_python_client(
    driver: Driver, random_server: TritonServer, trained_name: str
) -> None:
    client = CppClient(driver, random_server.url)
    name = trained_name
    stream = client.stream(name)
    stream.push(np.full((64, 80), 9, np.uint8))
    stream.close()
    with Client(random_server.url) as python:
        theirs = python.times(name)
    (said,) = client.said("times", name)
    requests, queue_s, model_s = map(float, said.split(","))
    assert requests == theirs.requests > 0
    np.testing.assert_allclose((queue_s, model_s), (theirs.queue_s, theirs.model_s), rtol=1e-9)
    with pytest.raises(ModelNotFound):
        client.said("times", "no_such_model")
    with Client(random_server.url) as python, pytest.raises(ModelNotFound):
        python.times("no_such_model")


def test_every_example_says_it(
    random_server: TritonServer, served_name: str, trained_name: str, tmp_path: Path
) -> None:
    programs = built()
    for program, *options in (("track_clip",), ("scanner_sim", "1", "256", "256")):
        for model, there in ((served_name, True), (trained_name, False)):
            done = subprocess.run(
                [programs / program, random_server.url, model, *options],
                capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stderr.startswith(SAID + served_name) is there
            assert done.stderr.count("\n") == there
            for missed, *kinds in re.findall(
                r"(\d+) missed deadlines \((\d+) late, (\d+) dropped, (\d+) refused\)", done.stdout
            ):
                assert int(missed) == sum(map(int, kinds))


def test_the_example_in_csharp(
    random_server: TritonServer, served_name: str, trained_name: str, tmp_path: Path
) -> None:
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("mono is not installed (Debian: mono-mcs, mono-runtime)")
    programs = built()
    examples = Path(__file__).resolve().parents[2] / "client" / "cpp" / "examples"
    sources = [examples / "Cineflow.cs", examples / "track_clip.cs"]
    program = tmp_path / "track_clip.exe"
    subprocess.run(["mcs", "-unsafe", f"-out:{program}", *sources], check=True)

    def said(model: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["mono", program, random_server.url, model],
            env={"LD_LIBRARY_PATH": str(programs), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    done = said(trained_name)
    assert (done.returncode, done.stderr) == (0, "")
    in_c = subprocess.run(
        [programs / "track_clip", random_server.url, trained_name],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout == in_c.stdout  # read out of the same structs
    done = said(served_name)
    assert done.returncode == 0
    assert done.stderr.startswith(SAID + served_name)
    done = said("no_such_model")
    assert done.returncode == 1
    assert done.stderr.startswith("ModelNotFound: wanted the model 'no_such_model'")
