"""Load weights from a file into a module; every mismatch is named."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cineflow.errors import ExportError

if TYPE_CHECKING:
    import torch

#: Keys that training scripts wrap a state dict in.
_WRAPPERS = ("state_dict", "model_state_dict", "model")

_SHOWN = 6

#: Counters of batch normalisation; no output depends on them, and torch 0.3 did not save them.
_COUNTERS = ".num_batches_tracked"


def load_weights(
    module: torch.nn.Module,
    file: str | Path,
    own_keys: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] = dict,
    may_lack: Sequence[str] = (),
) -> tuple[str, ...]:
    """Load a checkpoint into `module`; their keys must match completely.

    Only the counters of batch normalisation and the parts in `may_lack` may be missing.

    Args:
        module: Receives the values.
        file: A `.safetensors` file, or one that `torch.load(weights_only=True)` reads: a state
            dict, bare or under "state_dict", "model_state_dict" or "model".
        own_keys: Turns a public checkpoint's state dict into the module's (`Recipe.own_keys`).
        may_lack: Parts that may be missing as a whole, by the beginning of their keys
            (`Recipe.may_lack`). They keep their values.

    Returns:
        The parts that are missing.

    Raises:
        ExportError: The file is unreadable or holds more than tensors, or keys are missing,
            unexpected, or of the wrong shape or kind.
    """
    state = own_keys(_read(Path(file)))
    wanted = module.state_dict()
    if state and not set(state) & set(wanted) and all(k.startswith("module.") for k in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}  # DataParallel
    lacking = tuple(part for part in may_lack if not any(key.startswith(part) for key in state))
    problems = {
        "missing": [
            key
            for key in wanted
            if key not in state and not key.endswith(_COUNTERS) and not key.startswith(lacking)
        ],
        "unexpected": [key for key in state if key not in wanted],
        "mis-shaped": [
            f"{key} {list(state[key].shape)} (wanted {list(value.shape)})"
            for key, value in wanted.items()
            if key in state and state[key].shape != value.shape
        ],
        "mis-typed": [
            f"{key} {state[key].dtype} (wanted {value.dtype})"
            for key, value in wanted.items()
            if key in state and not _converts(state[key].dtype, value.dtype)
        ],
    }
    said = "; ".join(f"{kind}: {_list(keys)}" for kind, keys in problems.items() if keys)
    if said:
        raise ExportError(
            f"weights for the {len(wanted)} tensors of {type(module).__name__}",
            f"{Path(file).name} with {said}",
            "Check that the checkpoint belongs to this architecture and variant (--variant)",
        )
    module.load_state_dict({key: state.get(key, value) for key, value in wanted.items()})
    return lacking


def _converts(given: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether a value keeps its meaning: the type is unchanged, or both are floating-point."""
    return given == wanted or (given.is_floating_point and wanted.is_floating_point)


def _read(file: Path) -> Mapping[str, torch.Tensor]:
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        # weights_only: a checkpoint is foreign data and must not run code.
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both libraries raise many types
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if isinstance(error, pickle.UnpicklingError):  # its message suggests running the code
            wants = re.search(r"GLOBAL ([\w.]+)", str(error))
            first = f"more than tensors: {wants[1]}" if wants else "a damaged file"
        raise ExportError(
            f"{file} as .safetensors or a state dict that torch loads with weights_only=True",
            first,
            "Save it again: torch.save(model.state_dict(), FILE)",
        ) from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(
        isinstance(key, str)
        and isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and not value.is_meta
        for key, value in loaded.items()
    ):
        raise ExportError(
            f"a state dict of dense tensors by name in {file.name}",
            f"{type(loaded).__name__} with other content",
            "Save it again: torch.save(model.state_dict(), FILE)",
        )
    return loaded


def _list(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
