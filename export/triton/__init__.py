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
    from cineflow.export.triton.repository import write_committed, write_repository
    from cineflow.export.triton.served import Limits, alias_config, aliases_of, served_config

__all__ = [
    "Limits",
    "alias_config",
    "aliases_of",
    "served_config",
    "write_committed",
    "write_repository",
]

__getattr__ = lazily(
    __name__,
    {
        "Limits": "served",
        "alias_config": "served",
        "aliases_of": "served",
        "served_config": "served",
        "write_committed": "repository",
        "write_repository": "repository",
    },
)
