"""What a server serves, changed while it runs: models are loaded, unloaded and rolled back.

Only for programs of the server's own user on its machine (`local_key`). A live stream stays with
the model that it began with.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tritonclient.grpc import service_pb2

from cineflow_client.connection import Connection
from cineflow_client.errors import CineflowClientError, ModelNotFound, ServerRefused
from cineflow_client.local_key import ModelFiles, read_model_files
from cineflow_client.metadata import alias_target

#: A model asks its engine for its known results before it is ready.
_LOAD_S = 120.0
#: The configuration of an alias, and the one that it had before (cineflow.export.triton).
_TARGET = re.compile(r'^\s*model_name: "([^"]+)"', re.M)
_NOW, _BEFORE = "config.pbtxt", "previous.pbtxt"


class Control(Connection):
    """A connection that also changes what is served."""

    def models(self) -> dict[str, str]:
        """Every model of the server's repository and its state ("READY"; empty: not loaded).

        Raises:
            ServerUnavailable: No server responds.
            ServerRefused: Its models can be changed, which only its own user may see.
        """
        request = service_pb2.RepositoryIndexRequest()
        index = self._ask(self.stub.RepositoryIndex, request, with_key=True)
        return {model.name: model.state for model in index.models}

    def aliases(self) -> dict[str, str]:
        """The model behind each alias that is ready. Raises as `models`."""
        ready = [name for name, state in self.models().items() if state == "READY"]
        found = {name: alias_target(self._config(name)) for name in ready}
        return {name: target for name, target in found.items() if target}

    def load(self, model: str) -> None:
        """Load a model of the server's repository, or an alias with the model that it stands for.

        Streams go on meanwhile. Those of a model that is loaded again go on with their state.

        Raises:
            ServerRefused: Its models cannot change, only its own user may do that, or the model
                does not load; the old one stays then.
            ModelNotFound: The repository does not have it.
            ServerUnavailable: No server responds.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        self._change(self.stub.RepositoryModelLoad, request, model)
        self._keep(add=[model])

    def unload(self, model: str) -> None:
        """Unload a model, or an alias and the model that it stands for.

        Its live streams end with `ModelUnloaded`. Raises as `load`.
        """
        if self.models().get(model) != "READY":
            raise ModelNotFound(
                f"a model {model!r} that is loaded", "none", "`Client.models()` lists them."
            )
        names = [name for name, target in self.aliases().items() if model in (name, target)]
        names += [target for name, target in self.aliases().items() if name == model]
        for name in dict.fromkeys([*names, model]):
            request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
            self._change(self.stub.RepositoryModelUnload, request, name)
        self._keep(remove=[*names, model])

    def rollback(self, alias: str) -> str:
        """Let an alias stand for the model before; returns the name of that model.

        A second time brings the present one back. Streams stay with their models.

        Raises:
            ModelNotFound: There is no model before.
            CineflowClientError: As `load`, or a configuration in the repository is unusable. The
                alias then stays as it is.
        """
        folder = Path(self._model_files().repository, alias)
        if Path(alias).name != alias or not (folder / _BEFORE).is_file():
            raise ModelNotFound(
                f"a model that {alias!r} stood for before",
                "none",
                "`cineflow load` keeps the one that it replaces.",
            )
        swapped = {_NOW: _read(folder / _BEFORE), _BEFORE: _read(folder / _NOW)}
        targets = _TARGET.findall(swapped[_NOW])
        if not targets:
            raise _unusable(folder / _BEFORE, "one without a model_name")
        # First the model: if it does not load, the alias stands for the present one.
        self.load(targets[-1])
        for name, text in swapped.items():
            _write(folder / name, text)
        self.load(alias)
        return str(targets[-1])

    def _config(self, name: str) -> Any:
        request = service_pb2.ModelConfigRequest(name=name)
        return self._ask(self.stub.ModelConfig, request, model=name).config

    def _change(self, method: Any, request: Any, model: str) -> None:
        self._ask(method, request, model=model, with_key=True, timeout_s=_LOAD_S)

    def _model_files(self) -> ModelFiles:
        files = read_model_files(self.url)
        if files is None:
            raise ServerRefused(
                "a server of this user on this machine, whose models can change",
                f"{self.url}",
                "Run it as the user that started the server (`cineflow serve`).",
            )
        return files

    def _keep(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Note what a restarted server loads."""
        try:
            path = Path(self._model_files().loaded)
            names = dict.fromkeys([*json.loads(path.read_text()), *add])
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps([name for name in names if name not in set(remove)]))
            new.replace(path)
        except (CineflowClientError, OSError, ValueError):  # not a server of ours: it has no list
            return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or str(error)) from error


def _write(path: Path, text: str) -> None:
    """Replace a configuration by a new file, so that Triton sees the change."""
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, got: str) -> CineflowClientError:
    return CineflowClientError(
        f"the configuration {path}",
        got,
        "It lies in the server's model repository and belongs to the server's user. `cineflow load "
        "BUNDLE` writes an alias again.",
    )
