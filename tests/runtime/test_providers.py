"""A CUDA build of ONNX Runtime on a machine without a card is recognised and not chosen.

This is the real ONNX Runtime. Only its list of providers is replaced, because a CUDA build lists
CUDA also on such a machine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest

from cineflow.errors import EngineError
from cineflow.runtime import Bundle, choose_engine, engine_report, open_engine, runtimes
from cineflow.runtime.engines import providers
from cineflow.runtime.engines.onnxruntime import op_library_path, register_op_library
from cineflow.runtime.engines.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    PROBE_MODEL,
    provider_fault,
)

pytestmark = pytest.mark.skipif(
    CUDA_PROVIDER in onnxruntime.get_available_providers(), reason="ONNX Runtime has CUDA here"
)


@pytest.fixture(autouse=True)
def fresh_results() -> Iterator[None]:
    """Results for one machine are not kept for the next."""
    provider_fault.cache_clear()
    yield
    provider_fault.cache_clear()


@pytest.fixture
def cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime lists CUDA among its providers; sessions fall back to the CPU."""
    listed = [CUDA_PROVIDER, CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)


@pytest.fixture(params=[False, True], ids=["no driver", "driver"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    for room in (providers, runtimes):
        monkeypatch.setattr(room, "has_driver", lambda: request.param)
    return bool(request.param)


def test_the_probe_is_the_model_that_its_comment_says() -> None:
    head = '<ir_version: 8, opset_import: ["" : 13]>'
    text = f"{head} p (float[1] x) => (float[1] y) {{ y = Abs (x) }}"
    assert onnx.ModelProto.FromString(PROBE_MODEL) == onnx.parser.parse_model(text)


def test_the_cpu_works() -> None:
    assert provider_fault(CPU_PROVIDER) == ""


@pytest.mark.usefixtures("cuda_build")
def test_a_missing_card_is_not_chosen(tiny: Path, driver: bool) -> None:
    status = {found.name: found for found in engine_report()}["onnxruntime-cuda"]
    assert not status.available
    if driver:
        assert "fall back to CPUExecutionProvider" in status.reason
        assert "onnxruntime-gpu[cuda,cudnn]" in status.remedy
    else:
        assert "no NVIDIA driver" in status.reason
        assert "pip" not in status.remedy, "nothing that could be installed would help"
    assert choose_engine().name == "onnxruntime"
    assert open_engine(Bundle.load(tiny)).name == "onnxruntime"


@pytest.mark.usefixtures("cuda_build")
def test_asked_for_by_name_it_says_what_is_missing(tiny: Path, driver: bool) -> None:
    with pytest.raises(EngineError, match=r"(CUDA|driver)") as caught:
        open_engine(Bundle.load(tiny), runtime="onnxruntime-cuda")
    assert caught.value.remedy


def test_a_build_without_cuda_says_so(tiny: Path, driver: bool) -> None:
    with pytest.raises(EngineError, match="built without CUDAExecutionProvider") as caught:
        open_engine(Bundle.load(tiny), runtime="onnxruntime-cuda")
    assert ("onnxruntime-gpu" in caught.value.remedy) is driver


@pytest.mark.usefixtures("cuda_build", "driver")
def test_a_provider_that_loads_but_does_not_run_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Session:
        def __init__(self, *_: object, providers: list[str]) -> None:
            self.get_providers = lambda: providers

        def run(self, *_: object) -> None:
            raise RuntimeError("CUDA error: no kernel image is available\nand pages more")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(providers, "has_driver", lambda: True)
    fault = provider_fault(CUDA_PROVIDER)
    assert fault.endswith("no kernel image is available")


@pytest.mark.skipif(op_library_path() is None, reason="the op library is not built")
def test_ops_without_cuda_stay_in_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel for the CPU inside a graph on a card would copy its tensors there and back."""
    for architectures, words in (("80", "cineflow op library"), ("", "is built without CUDA")):
        monkeypatch.setattr(
            "cineflow.runtime.engines.onnxruntime.cuda_architectures", lambda a=architectures: a
        )
        assert words in register_op_library(onnxruntime.SessionOptions(), CUDA_PROVIDER)
        assert "cineflow op library" in register_op_library(onnxruntime.SessionOptions())


def test_the_probe_is_silent() -> None:
    code = f"""
import onnxruntime
onnxruntime.get_available_providers = lambda: ["{CUDA_PROVIDER}", "{CPU_PROVIDER}"]
from cineflow.runtime.engines.providers import provider_fault
print(bool(provider_fault("{CUDA_PROVIDER}")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
