"""The models of a running server, changed by the program that started it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cineflow.serving import health


@dataclass(frozen=True)
class ModelControl:
    """Loads and unloads models, and notes what a restarted server loads.

    Attributes:
        repository: What the server serves.
        http_port: The server's HTTP port.
        key: What the server knows us by (`cineflow.local_key`).
        loaded: The note: JSON, a list of names. `cineflow_client.control` writes it as well.
        timeout_s: Seconds until a request without a response fails.
    """

    repository: Path
    http_port: int
    key: str
    loaded: Path
    timeout_s: float

    def load(self, model: str) -> None:
        """Load or reload a model. Raises as `health.control_model`."""
        self._ask(model, "load")
        self.keep(add=[model])

    def unload(self, model: str) -> None:
        """Unload a model. Raises as `health.control_model`."""
        self._ask(model, "unload")
        self.keep(remove=[model])

    def keep(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Note that models were loaded or unloaded."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = json.loads(self.loaded.read_text())
        left = [name for name in dict.fromkeys([*names, *add]) if name not in set(remove)]
        new = self.loaded.with_suffix(".new")
        new.write_text(json.dumps(left))
        new.rename(self.loaded)

    def _ask(self, model: str, action: str) -> None:
        health.control_model(
            self.http_port,
            self.key,
            model,
            action,
            repository=self.repository,
            timeout_s=self.timeout_s,
        )
