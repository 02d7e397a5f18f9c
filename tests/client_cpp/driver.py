"""The C++ client as an object of Python: a program that takes commands (driver.cpp).

Its streams have the methods of `cineflow_client.Stream` that the conformance runner calls. Errors
of the C++ client arrive as the class of the same name.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np

import cineflow_client

#: What a frame's result is here: its tensors by their names on the wire.
Tensors = dict[str, np.ndarray]


class Driver:
    """The program. A context manager.

    Args:
        program: The built driver.
        environment: Variables of its own.
    """

    def __init__(self, program: Path, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def ask(self, *words: str, frame: np.ndarray | None = None, **given: np.ndarray) -> Any:
        """Send a command; returns (words, tensors). Raises the client's error of the same name."""
        assert self.process.stdin is not None
        arrays = [("frame", "frame", frame)] if frame is not None else []
        arrays += [("given", name, array) for name, array in given.items()]
        line = " ".join([*words, *(_word(*one) for one in arrays)])
        self.process.stdin.write(line.encode() + b"\n")
        for _, _, array in arrays:
            self.process.stdin.write(np.ascontiguousarray(array).tobytes())
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> tuple[list[str], Tensors]:
        output = self.process.stdout
        assert output is not None
        kind, *said = output.readline().decode().split()
        if kind == "error":
            parts = [output.read(int(size)).decode() for size in said[1:]]
            raise getattr(cineflow_client, said[0])(*parts)
        tensors = {}
        for word in said:
            if word.startswith("tensor:"):
                _, name, dtype, sizes, count = word.split(":")
                shape = tuple(int(size) for size in sizes.split("x") if size)
                data = output.read(int(count))
                tensors[name] = np.frombuffer(data, dtype).reshape(shape)
        return [word for word in said if not word.startswith("tensor:")], tensors

    def close(self) -> int:
        """Let it end; returns its exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.process.kill()
        status = self.close()
        assert kind is not None or status == 0, status


class CppClient:
    """Commands of a driver in the form of `cineflow_client.Client`."""

    def __init__(
        self,
        driver: Driver,
        url: str,
        *,
        timeout_s: float = 10.0,
        floats: bool = False,
        secure: Path | None = None,
    ) -> None:
        self._driver = driver
        self._floats = floats
        self._streams = 0
        folder = [] if secure is None else [f"secure={secure}"]
        driver.ask("client", url, f"timeout_s={timeout_s}", *folder)

    def stream(
        self,
        model: str,
        transport: str = "auto",
        *,
        spacing_mm: Sequence[float] | None = None,
        state: bytes | None = None,
        readings: Sequence[str] = (),
        **options: Any,
    ) -> CppStream:
        """A stream, which is opened with its first frame: the C++ client wants its size."""
        words = [f"transport={transport}", *(f"{key}={value}" for key, value in options.items())]
        if spacing_mm is not None:
            words.append(f"spacing={','.join(map(repr, spacing_mm))}")
        if readings:
            words.append(f"readings={','.join(readings)}")
        given = {} if state is None else {"state": np.frombuffer(state, np.uint8)}
        self._streams += 1
        name = f"s{self._streams}"
        return CppStream(self._driver, name, model, words, given, floats=self._floats)

    def said(self, *words: str) -> list[str]:
        """What a command about the server prints."""
        said, _ = self._driver.ask(*words)
        return said

    def pairs(self, verb: str) -> dict[str, str]:
        """`models` or `aliases`."""
        return dict(word.split("=") for word in self.said(verb))

    def call(self, model: str, /, **arrays: np.ndarray) -> dict[str, Any]:
        _, tensors = self._driver.ask("call", model, **arrays)
        return {name: SimpleNamespace(values=values) for name, values in tensors.items()}

    def __enter__(self) -> CppClient:
        return self

    def __exit__(self, *_: object) -> None:
        return


class CppStream:
    """Commands about one stream.

    Attributes:
        said: Words of the last result, by name: `times`.
        unit: Of the last result.
    """

    def __init__(
        self,
        driver: Driver,
        name: str,
        model: str,
        options: Sequence[str],
        given: Mapping[str, np.ndarray],
        *,
        floats: bool,
    ) -> None:
        self._driver, self._name, self._model = driver, name, model
        self._options, self._at_opening = list(options), given
        self._dtype = "float32" if floats else "uint8"
        self._open = False
        self.said: dict[str, list[float]] = {}
        self.unit = ""

    def push(self, frame: np.ndarray, index: int | None = None, **info: Any) -> Tensors:
        """The tensors of a frame's result."""
        words, tensors = self._send("push", frame, index, info)
        self.unit = next(word for word in words if word.startswith("unit=")).partition("=")[2]
        pairs = (word.split("=") for word in words if not word.startswith("unit="))
        self.said = {name: [float(one) for one in text.split(",")] for name, text in pairs}
        return tensors

    def submit(self, frame: np.ndarray, index: int | None = None, **info: Any) -> int:
        """Send a frame; returns its number."""
        words, _ = self._send("submit", frame, index, info)
        return int(words[0])

    def next(self, wait_s: float) -> tuple[int, Tensors] | None:
        """The oldest outcome."""
        words, tensors = self._driver.ask("next", self._name, f"{wait_s}")
        return None if words == ["none"] else (int(words[0]), tensors)

    def ask(self, verb: str) -> list[str]:
        """Another command about the stream."""
        words, _ = self._driver.ask(verb, self._name)
        return words

    def another(self, size: Sequence[int], spacing_mm: Sequence[float] = ()) -> CppStream:
        """A stream of the same settings for frames of another size; this one has ended."""
        other = CppStream(
            self._driver, f"{self._name}x", self._model, (), {}, floats=self._dtype == "float32"
        )
        words = [f"size={'x'.join(map(str, size))}"]
        words += [f"spacing={','.join(map(repr, spacing_mm))}"] if spacing_mm else []
        self._driver.ask("another", self._name, other._name, *words)
        other._open = True
        return other

    def freeze(self) -> None:
        """No frames come for a while."""
        self.ask("freeze")

    def about(self) -> Any:
        """What the stream says about itself."""
        words = self.ask("about")
        names = ("transport", "resumed", "dropped", "unread", "late_frames", "error", "direct")
        return SimpleNamespace(**dict(zip(names, words, strict=True)))

    def close(self) -> None:
        if self._open:
            self._driver.ask("close", self._name)
        self._open = False

    def _send(self, verb: str, frame: np.ndarray, index: int | None, info: dict[str, Any]) -> Any:
        if not self._open:
            size = "x".join(map(str, frame.shape))
            self._driver.ask(
                "stream", self._name, self._model, f"size={size}", f"dtype={self._dtype}",
                *self._options, **self._at_opening,
            )  # fmt: skip
            self._open = True
        given = info.pop("given", None) or {}
        words = {"index": index, **info}
        if words.get("beat") is not None:
            words["beat"] = int(words["beat"])
        said = [f"{key}={value!r}" for key, value in words.items() if value is not None]
        return self._driver.ask(verb, self._name, *said, frame=frame, **given)


def _word(kind: str, name: str, array: np.ndarray) -> str:
    sizes = "x".join(map(str, array.shape))
    count = math.prod(array.shape) * array.itemsize
    return f"{kind}:{name}:{array.dtype.name}:{sizes}:{count}"
