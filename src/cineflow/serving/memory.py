"""Whether /dev/shm is large enough for what a server is to serve.

Triton hands frames and results to a model's process through shared memory, which grows with the
largest one. In a container it is 64 MB by default, and often less. Without this check the server
would start, and then refuse every frame that does not fit.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.served import call_ports, stream_inputs, stream_outputs
from cineflow.serving.errors import SharedMemoryFullError
from cineflow.serving.supervisor import SHARED_MEMORY

#: Pixels along each axis of the frames that must fit, or as many as the model takes.
_SIZES = {2: 512, 3: 128}
#: What Triton takes for each model before any frame comes, and its overhead over the tensors.
_BASE_BYTES, _OVERHEAD = 1 << 20, 1.25
_SPEC = re.compile(r'key: "spec"\s+value \{\s+string_value: ("(?:[^"\\]|\\.)*")')
_BEHIND = re.compile(r'model_name: "([^"]+)"')


def require_shared_memory(repository: Path, models: Sequence[str] | None) -> None:
    """Check that frames of a usual size fit into the shared memory that is free now.

    Args:
        repository: Folder of model folders.
        models: Those that will be loaded; None means all of them.

    Raises:
        ArgumentError: A model's configuration cannot be read.
        SharedMemoryFullError: They do not fit.
    """
    names = [path.name for path in repository.iterdir()] if models is None else list(models)
    texts = {name: _config(repository, name) for name in names}
    behind = {found for text in texts.values() for found in _BEHIND.findall(text)}
    texts |= {name: _config(repository, name) for name in behind - texts.keys()}
    specs = [
        json.loads(ast.literal_eval(found[1]))
        for found in map(_SPEC.search, texts.values())
        if found
    ]
    needed = sum(_BASE_BYTES + _OVERHEAD * bytes_of_a_frame(spec) for spec in specs)
    status = os.statvfs(SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        size = f"{math.ceil(2 * needed / 1e6)}m"
        raise SharedMemoryFullError(
            f"{needed / 1e6:.1f} MB free in {SHARED_MEMORY}, through which frames go to the models",
            f"{free / 1e6:.1f} MB",
            f"Make it larger: `docker run --shm-size={size}`, or `mount -o remount,size={size} "
            f"{SHARED_MEMORY}`. `df {SHARED_MEMORY}` shows what is in use.",
        )


def bytes_of_a_frame(spec: Mapping[str, Any]) -> int:
    """Bytes of a frame (or of the smallest call) of a usual size, with its results."""
    if spec["feed"]["kind"] == "call":
        inputs, outputs = call_ports(spec)
        least = [(port.dtype, [max(dim, 1) for dim in port.shape]) for port in (*inputs, *outputs)]
        return sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in least)
    rank = 3 if spec["feed"]["volume"] else 2
    frame = next(item for item in spec["inputs"] if item["name"] == spec["feed"]["inputs"][0])
    sizes = [
        min(_SIZES[rank], dim["maximum"]) if isinstance(dim, Mapping) else dim
        for dim in frame["shape"][-rank:]
    ]
    total = 4 * math.prod(sizes)
    for port in (*stream_inputs(spec)[2:], *stream_outputs(spec)):
        if port.name != "strain":  # only where it is asked for
            free = iter(sizes)
            shape = [next(free, 1) if dim < 0 else dim for dim in port.shape]
            total += np.dtype(port.dtype).itemsize * math.prod(shape)
    return total


def _config(repository: Path, name: str) -> str:
    path = repository / name / "config.pbtxt"
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeError) as error:
        raise ArgumentError(
            f"the configuration {path}",
            getattr(error, "strerror", None) or str(error),
            f"Write the model again: `cineflow repo BUNDLE --out {repository}`.",
        ) from error
