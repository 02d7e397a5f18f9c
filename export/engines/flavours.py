"""The flavours of TensorRT: what is installed, which version, which cards it builds for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from cineflow.errors import EngineError, MissingDependencyError
from cineflow.runtime.engines.tensorrt import MODULES

#: Flavour -> how to install it for building.
FLAVOURS: Mapping[str, str] = {
    "tensorrt-rtx": "`pip install tensorrt-rtx-cu13`",
    "tensorrt": "Install `tensorrt` on the machine with the card",
}


def import_flavour(flavour: str) -> Any:
    """The Python module of a flavour.

    Raises:
        EngineError: There is no such flavour.
        MissingDependencyError: It is not installed.
    """
    if flavour not in FLAVOURS:
        raise EngineError(
            f"a runtime that engines are built for: {', '.join(FLAVOURS)}",
            repr(flavour),
            "ONNX Runtime runs a bundle as it is and needs no engine",
        )
    module = MODULES[flavour]
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(module, str(error), FLAVOURS[flavour]) from error


def import_cupy() -> Any:
    """CuPy, which knows the card of this machine.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return importlib.import_module("cupy")
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            "CuPy, to read the card's compute capability",
            str(error),
            "`pip install cupy-cuda13x`",
        ) from error


def supported_capabilities(trt: Any, flavour: str) -> list[int]:
    """Capabilities that TensorRT-RTX builds for on any machine; empty for full TensorRT."""
    if flavour != "tensorrt-rtx":
        return []
    found = [re.fullmatch(r"SM(\d+)", name) for name in dir(trt.ComputeCapability)]
    return sorted(int(match.group(1)) for match in found if match)


def version_tuple(version: str) -> tuple[int, ...]:
    """ "11.2.1" -> (11, 2, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
