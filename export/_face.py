"""The public face of a room: names that load on first use, so that importing a room is cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from cineflow.errors import MissingDependencyError


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: Its name.
        homes: Public name -> module of the package that defines it.

    Raises (when a name is used):
        AttributeError: The name is not in `homes`.
        MissingDependencyError: Its module needs a package that is not installed.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807  it becomes the module's
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{homes[name]}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("cineflow"):
                raise
            raise MissingDependencyError(
                f"{error.name}, for {package}.{name}",
                str(error),
                "`pip install cineflow[export]`",
            ) from error
        return getattr(module, name)

    return __getattr__
