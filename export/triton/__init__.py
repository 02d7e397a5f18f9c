"""A Triton model repository from bundles.

repository.py  the folders, each written completely or not at all
served.py      configuration of a served model, streamed or called, and of its alias
bare.py        configuration of the bare model in Triton's own backends
protobuf.py    Triton's configuration messages, and their text form
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.triton.protobuf import read_config
    from cineflow.export.triton.repository import (
        write_alias,
        write_committed,
        write_repository,
    )
    from cineflow.export.triton.served import Limits, alias_config, aliases_of, served_config

__all__ = [
    "Limits",
    "alias_config",
    "aliases_of",
    "read_config",
    "served_config",
    "write_alias",
    "write_committed",
    "write_repository",
]

__getattr__ = lazily(
    __name__,
    {
        "Limits": "served",
        "alias_config": "served",
        "aliases_of": "served",
        "read_config": "protobuf",
        "served_config": "served",
        "write_alias": "repository",
        "write_committed": "repository",
        "write_repository": "repository",
    },
)
