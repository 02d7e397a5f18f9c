"""Which card a server takes. The refusals run everywhere; a card itself is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.runtime.engines.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    MEMORY_VARIABLE,
    provider_options,
)
from cineflow.serving.errors import GpuError
from cineflow.serving.gpu import gpu_environment, read_cards

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


def test_a_card_is_named_so_that_cuda_cannot_count_otherwise(two_cards: None) -> None:
    assert gpu_environment(None, None) == {}
    assert gpu_environment(1, None) == {"CUDA_VISIBLE_DEVICES": "GPU-bb"}
    assert gpu_environment(None, 48000) == {
        "CUDA_VISIBLE_DEVICES": "GPU-aa",
        MEMORY_VARIABLE: "48000",
    }


def test_cards_that_do_not_do(two_cards: None) -> None:
    with pytest.raises(GpuError, match=r"the card 2; got the cards \[0, 1\]"):
        gpu_environment(2, None)
    with pytest.raises(GpuError, match=r"701 MiB of free memory on card 1 .*got 700 MiB"):
        gpu_environment(1, 701)


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
