"""Which card a server takes. The refusals run everywhere; a card itself is not needed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.runtime.engines.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    MEMORY_VARIABLE,
    provider_fault,
    provider_options,
)
from cineflow.serving.errors import GpuError
from cineflow.serving.gpu import CARD_VARIABLE, gpu_environment, read_cards

#: As nvidia-smi prints two cards.
TWO = "0, GPU-aa, NVIDIA RTX 6000, 48000\n1, GPU-bb, NVIDIA RTX 6000, 700\n"


@pytest.fixture
def two_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's program that says what one with two cards says."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{TWO.rstrip()}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("option", ["--gpu", "--gpu-memory"])
def test_serve_without_a_card(option: str) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("a machine with a card")
    done = CliRunner().invoke(_app(), ["serve", option, "1"])
    assert done.exit_code == 2
    assert "GpuError" in done.output


@pytest.mark.skipif(provider_fault(CUDA_PROVIDER) == "", reason="ONNX Runtime runs on a card here")
def test_serve_never_falls_back_to_the_cpu(
    server_binary: Any, two_cards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver knows a card, and nothing here can run a model on it."""
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], os.defpath]))
    began = time.monotonic()
    done = CliRunner().invoke(_app(), ["serve", "--gpu", "0", "--port", "0"])
    said = " ".join(done.output.split())
    assert done.exit_code == 2, said
    assert "a runtime that runs lucas_kanade-" in said
    assert "onnxruntime-cuda: this onnxruntime was built without CUDAExecutionProvider" in said
    assert "leave out --gpu" in said
    assert time.monotonic() - began < 60


def test_a_card_is_named_so_that_cuda_cannot_count_otherwise(two_cards: None) -> None:
    assert gpu_environment(None, None) == {}
    assert gpu_environment(1, None) == {"CUDA_VISIBLE_DEVICES": "GPU-bb", CARD_VARIABLE: "1"}
    assert gpu_environment(None, 48000) == {
        "CUDA_VISIBLE_DEVICES": "GPU-aa",
        CARD_VARIABLE: "1",
        MEMORY_VARIABLE: "48000",
    }


def test_cards_that_do_not_do(two_cards: None) -> None:
    with pytest.raises(GpuError, match=r"the card 2; got the cards \[0, 1\]"):
        gpu_environment(2, None)
    with pytest.raises(GpuError, match=r"701 MiB of free memory on card 1 .*got 700 MiB"):
        gpu_environment(1, 701)
    assert gpu_environment(1, 350, models=2)
    with pytest.raises(GpuError, match=r"702 MiB .*351 MiB for each of 2 models"):
        gpu_environment(1, 351, models=2)


def test_a_driver_without_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho No devices were found; exit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GpuError, match="No devices were found"):
        gpu_environment(0, None)


def test_what_nvidia_smi_prints() -> None:
    assert [card.free_mib for card in read_cards(TWO)] == [48000, 700]


def test_the_limit_reaches_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "512")
    assert provider_options(CUDA_PROVIDER)["gpu_mem_limit"] == str(512 * 1024 * 1024)
    assert provider_options(CPU_PROVIDER) == {}
