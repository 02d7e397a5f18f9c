"""A Triton model repository from bundles.

repository.py  the folders, each written completely or not at all
stream.py      configuration of the stream around a model, and of its alias
bare.py        configuration of the bare model in Triton's own backends
protobuf.py    Triton's configuration messages, and their text form
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.triton.repository import write_committed, write_repository
    from cineflow.export.triton.stream import (
        STREAM_INPUTS,
        STREAM_OUTPUTS,
        alias_config,
        stream_config,
    )

__all__ = [
    "STREAM_INPUTS",
    "STREAM_OUTPUTS",
    "alias_config",
    "stream_config",
    "write_committed",
    "write_repository",
]

__getattr__ = lazily(
    __name__,
    {
        "STREAM_INPUTS": "stream",
        "STREAM_OUTPUTS": "stream",
        "alias_config": "stream",
        "stream_config": "stream",
        "write_committed": "repository",
        "write_repository": "repository",
    },
)
