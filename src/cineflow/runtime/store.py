"""Engine store: compiled engines, each under the hash of what it was built for.

    ROOT/<id>/engine.plan    the engine
    ROOT/<id>/engine.json    its key, its hash, how it was built

`<id>` is the hash of the key (graph, TensorRT flavour and version, compute capability, precision,
shape profile), so an engine for anything else is not found. An engine is refused if its plan is
truncated or changed, or if its key belongs to another folder. The next build replaces it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cineflow.errors import BundleError, EngineError
from cineflow.runtime.bundle import file_sha256

PLAN_FILE = "engine.plan"
RECORD_FILE = "engine.json"

#: Environment variable that moves the store.
STORE_VARIABLE = "CINEFLOW_ENGINES"

#: Digits of an engine's id. The store leaves folders with other names alone.
_ID_DIGITS = 24
_ID = re.compile(f"[0-9a-f]{{{_ID_DIGITS}}}")

_REBUILD = "Build it again: `cineflow engine build BUNDLE`"


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built for. Two engines with equal keys are interchangeable.

    Attributes:
        model: Model name, for people; the hash of the graph decides.
        onnx_sha256: Hash of the graph that was compiled.
        flavour: "tensorrt-rtx" or "tensorrt".
        version: Version of TensorRT; a plan does not load in another version.
        capability: Compute capability of the GPU ("86").
        precision: "fp32" or "fp16".
        profile: Axis name -> (smallest, typical, largest size).
    """

    model: str
    onnx_sha256: str
    flavour: str
    version: str
    capability: str
    precision: str
    profile: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name of the engine's folder."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:_ID_DIGITS]

    def to_json(self) -> str:
        """This key as JSON with sorted names: equal keys give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EngineKey:
        """The key from the parsed JSON of `to_json`."""
        profile = {name: (int(a), int(b), int(c)) for name, (a, b, c) in data["profile"].items()}
        return cls(**{**data, "profile": profile})


@dataclass(frozen=True)
class StoredEngine:
    """One folder of the store.

    Attributes:
        folder: Its folder.
        key: What it was built for; None if the record is unreadable.
        fault: Why it must not run; empty for a sound engine.
        bytes: Size of the plan.
    """

    folder: Path
    key: EngineKey | None
    fault: str
    bytes: int

    @property
    def plan_path(self) -> Path:
        """The compiled engine."""
        return self.folder / PLAN_FILE

    def widest(self) -> list[int]:
        """Largest size of each axis of the profile, by axis name; empty without a profile."""
        profile = self.key.profile if self.key is not None else {}
        return [largest for _, (_, _, largest) in sorted(profile.items())]


class EngineStore:
    """A folder of engines that several processes may use at once.

    Args:
        root: The folder; None means `$CINEFLOW_ENGINES`, else the user's cache folder.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        chosen = root or os.environ.get(STORE_VARIABLE)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.root = Path(chosen) if chosen else cache / "cineflow" / "engines"

    def load(self, key: EngineKey) -> StoredEngine:
        """The engine of `key`, verified.

        Raises:
            EngineError: The store has no such engine, or its files differ from its record.
        """
        engine = self._read(self.root / key.id)
        if engine.fault or engine.key != key:
            raise EngineError(
                f"an engine of {key.model} for {key.flavour} {key.version}, SM {key.capability}, "
                f"{key.precision}",
                engine.fault or "one with a different key",
                f"{_REBUILD} --runtime {key.flavour} --sm {key.capability}",
            )
        return engine

    def get_or_build(
        self, key: EngineKey, build: Callable[[], bytes], *, rebuild: bool = False
    ) -> tuple[StoredEngine, bool]:
        """The engine of `key`, built if it is absent or unsound.

        Processes that want the same engine wait for the one that builds it.

        Args:
            key: What to build for.
            build: Makes the plan.
            rebuild: Build even if the store has a sound engine.

        Returns:
            The engine, and whether it was built now.

        Raises:
            EngineError: The store cannot be written; also what `build` raises.
        """
        if not rebuild:  # without the lock, so that a read-only store can be used
            with contextlib.suppress(EngineError):
                return self.load(key), False
        with self._lock(key):
            if not rebuild:  # another process may have built it while this one waited
                with contextlib.suppress(EngineError):
                    return self.load(key), False
            self._put(key, build())
            return self.load(key), True

    def engines(self) -> list[StoredEngine]:
        """Every engine, sound or not, by folder name.

        Raises:
            EngineError: The store is not a readable folder.
        """
        try:
            folders = sorted(f for f in self.root.iterdir() if f.is_dir() and _ID.fullmatch(f.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EngineError(
                f"to read the engine store {self.root}",
                str(error),
                f"Set {STORE_VARIABLE} to a folder that can be read",
            ) from error
        return [self._read(folder) for folder in folders]

    def matching(
        self,
        *,
        model: str,
        onnx_sha256: str,
        flavour: str,
        version: str | None = None,
        capability: str | None = None,
        precision: str | None = None,
    ) -> list[StoredEngine]:
        """The sound engines of one graph, in the order of `engines`.

        Args:
            model: Model name.
            onnx_sha256: Hash of the graph.
            flavour: "tensorrt-rtx" or "tensorrt".
            version: Version of TensorRT; None takes any.
            capability: Compute capability ("86"); None takes any.
            precision: "fp32" or "fp16"; None takes any.

        Raises:
            EngineError: The store is not a readable folder.
        """
        asked = {
            "model": model,
            "onnx_sha256": onnx_sha256,
            "flavour": flavour,
            "version": version,
            "capability": capability,
            "precision": precision,
        }
        wanted = {name: value for name, value in asked.items() if value is not None}
        return [
            engine
            for engine in self.engines()
            if not engine.fault
            and all(getattr(engine.key, name) == value for name, value in wanted.items())
        ]

    def find(self, prefix: str) -> StoredEngine:
        """The one engine whose id begins with `prefix`.

        Raises:
            EngineError: No engine's id begins so, or several do.
        """
        found = [engine for engine in self.engines() if engine.folder.name.startswith(prefix)]
        if len(found) != 1:
            raise EngineError(
                f"one engine whose id begins with {prefix!r}",
                f"{len(found)} of {len(self.engines())} in {self.root}",
                "`cineflow engine list` shows them",
            )
        return found[0]

    def prune(
        self, keep: Callable[[StoredEngine], bool] | None = None, *, dry_run: bool = False
    ) -> list[StoredEngine]:
        """Remove unsound engines, the remains of killed builds, and engines that `keep` rejects.

        Args:
            keep: Whether a sound engine stays; None keeps all of them.
            dry_run: Remove nothing.

        Returns:
            The engines that were removed, or that would be.

        Raises:
            EngineError: The store cannot be written.
        """
        gone = [e for e in self.engines() if e.fault or (keep is not None and not keep(e))]
        if dry_run:
            return gone
        for engine in gone:
            try:
                shutil.rmtree(engine.folder)
            except OSError as error:
                raise self._unwritable(error) from error
        for lock in self.root.glob(".*.lock"):
            engine_id = lock.name[1 : -len(".lock")]
            if not _ID.fullmatch(engine_id):
                continue
            with contextlib.suppress(OSError), lock.open("w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while a build runs
                self._clear(engine_id)
        return gone

    def _read(self, folder: Path) -> StoredEngine:
        try:
            record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            key = EngineKey.from_dict(record["key"])
            expected, size = str(record["sha256"]), int(record["bytes"])
        except FileNotFoundError:
            return StoredEngine(folder, None, "not in the store", 0)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return StoredEngine(folder, None, f"an unreadable record ({error})", 0)
        try:
            actual = (folder / PLAN_FILE).stat().st_size
            if actual != size:
                fault = f"a truncated plan: {actual} of {size} bytes"
            elif file_sha256(folder / PLAN_FILE) != expected:
                fault = "a plan that was changed after the build"
            elif key.id != folder.name:
                fault = "a key that belongs to another folder"
            else:
                fault = ""
        except (OSError, BundleError) as error:
            actual, fault = 0, f"no readable plan ({error})"
        return StoredEngine(folder, key, fault, actual)

    def _put(self, key: EngineKey, plan: bytes) -> None:
        """Write the whole folder under another name, then rename it: a reader never sees half."""
        record = {
            "key": json.loads(key.to_json()),
            "sha256": hashlib.sha256(plan).hexdigest(),
            "bytes": len(plan),
        }
        target = self.root / key.id
        stage = None
        self._clear(key.id)
        try:
            stage = Path(tempfile.mkdtemp(prefix=f".{key.id}.", dir=self.root))
            stage.chmod(0o755)
            with (stage / PLAN_FILE).open("wb") as stream:
                stream.write(plan)
                stream.flush()
                os.fsync(stream.fileno())
            (stage / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n")
            if target.exists():
                shutil.rmtree(target)
            stage.rename(target)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)

    def _clear(self, engine_id: str) -> None:
        """Remove the remains of killed builds of one engine. The caller holds its lock."""
        for left in self.root.glob(f".{engine_id}.*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self, key: EngineKey) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            stream = (self.root / f".{key.id}.lock").open("w")
        except OSError as error:
            raise self._unwritable(error) from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # released with the file, also by SIGKILL
            yield

    def _unwritable(self, error: OSError) -> EngineError:
        return EngineError(
            f"to write the engine store {self.root}",
            str(error),
            f"Free space there, or set {STORE_VARIABLE} to a folder that can be written",
        )
