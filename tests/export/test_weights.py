"""Checkpoints: what fits loads, what does not is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cineflow.errors import ExportError
from cineflow.export import export_bundle
from cineflow.export.bundle.weights import load_weights


@pytest.fixture
def module() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 1, 1))


@pytest.fixture
def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: torch.full_like(value, 0.5) for key, value in module.state_dict().items()}


def save(state: object, folder: Path, kind: str) -> Path:
    file = folder / f"weights.{kind}"
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_loads(module: torch.nn.Module, state: dict, tmp_path: Path, kind: str) -> None:
    load_weights(module, save(state, tmp_path, kind))
    assert all((value == 0.5).all() for value in module.state_dict().values())


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_unwraps_a_training_checkpoint(
    module: torch.nn.Module, state: dict, tmp_path: Path, wrapper: str
) -> None:
    load_weights(module, save({wrapper: state, "epoch": 3}, tmp_path, "pt"))
    assert (module[0].weight == 0.5).all()


def test_strips_the_prefix_of_data_parallel(
    module: torch.nn.Module, state: dict, tmp_path: Path
) -> None:
    wrapped = {f"module.{key}": value for key, value in state.items()}
    load_weights(module, save(wrapped, tmp_path, "pt"))
    assert (module[0].weight == 0.5).all()


def test_every_disagreement_is_named(module: torch.nn.Module, state: dict, tmp_path: Path) -> None:
    del state["0.bias"]
    state["2.weight"] = torch.zeros(1)
    state["1.weight"] = torch.zeros(1, 3, 1, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(ExportError) as caught:
        load_weights(module, save(state, tmp_path, "safetensors"))
    for part in ("missing: 0.bias", "unexpected: 2.weight", "1.weight [1, 3, 1, 1]"):
        assert part in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04}."])
@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_other_files_are_refused(
    module: torch.nn.Module, tmp_path: Path, content: bytes, kind: str
) -> None:
    file = tmp_path / f"weights.{kind}"
    file.write_bytes(content)
    with pytest.raises(ExportError, match=r"state dict"):
        load_weights(module, file)


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64])
def test_values_of_another_kind_are_refused(
    module: torch.nn.Module, state: dict, tmp_path: Path, dtype: torch.dtype
) -> None:
    """Loading would truncate the one and drop half of the other, silently."""
    state["0.bias"] = state["0.bias"].to(dtype)
    with pytest.raises(ExportError, match=rf"mis-typed: 0.bias {dtype}"):
        load_weights(module, save(state, tmp_path, "pt"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_point_loads(
    module: torch.nn.Module, state: dict, tmp_path: Path, dtype: torch.dtype
) -> None:
    halved = {key: value.to(dtype) for key, value in state.items()}
    load_weights(module, save(halved, tmp_path, "pt"))
    assert (module[0].weight == 0.5).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {7: torch.zeros(1), **state},
        lambda state: {key: value.to_sparse() for key, value in state.items()},
        lambda state: {key: value.to("meta") for key, value in state.items()},
        lambda state: list(state.values()),
    ],
    ids=["a number for a key", "sparse", "meta", "a list"],
)
def test_what_is_not_a_state_dict_is_refused(
    module: torch.nn.Module, state: dict, tmp_path: Path, change: Callable[[dict], object]
) -> None:
    with pytest.raises(ExportError, match="a state dict of dense tensors by name") as caught:
        load_weights(module, save(change(state), tmp_path, "pt"))
    assert "torch.save" in caught.value.remedy


class Surprise:
    def __reduce__(self) -> tuple:
        return (print, ("code of the checkpoint ran",))


def test_a_checkpoint_cannot_run_code(
    module: torch.nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match="weights_only=True") as caught:
        load_weights(module, save(Surprise(), tmp_path, "pt"))
    assert capsys.readouterr().out == ""
    assert caught.value.got == "more than tensors: print"


def test_export_takes_a_checkpoint_and_says_so(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    shapes = {"edges.weight": (2, 1, 3, 3), "edges.bias": (2,)}
    state = {key: torch.full(shape, 0.25) for key, shape in shapes.items()}
    weights = save(state, tmp_path, "safetensors")
    bundle = export_bundle(write_recipe(recipe_text), tmp_path / "out", weights=weights)
    assert bundle.spec.weights.trained
    assert bundle.spec.weights.describe().startswith("weights.safetensors (SHA-256 ")
    assert "untrained" not in bundle.spec.to_json()
    assert str(tmp_path) not in (bundle.path / "manifest.json").read_text()
