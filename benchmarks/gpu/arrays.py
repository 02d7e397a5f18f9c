"""Frames on the card, as the Python client takes them: what arrives is what was computed, and when.

An image is written on a stream that is busy before, so a copy that does not wait for it brings what
was there before. Without that work, the copy is timed.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gpu.steps import ROOT

SIZES = ((600, 800), (1024, 1024))
REPEATS = 50
#: Elements of an array that keeps the card busy, and how often it is computed.
_BUSY, _ROUNDS = 1 << 26, 50


@dataclass(frozen=True)
class Library:
    """What makes images on a card.

    Attributes:
        name: Of the library.
        on_stream: Within it, images are written on a stream of their own.
        make: An image with the given values and bytes between two rows; whether the card is busy
            before it is written.
    """

    name: str
    on_stream: Callable[[], AbstractContextManager[Any]]
    make: Callable[[np.ndarray, int, bool], Any]


def cupy_library() -> Library:
    """CuPy: the interface with a stream in it.

    Raises:
        ImportError: It is not installed.
    """
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    busy = cupy.ones(_BUSY, np.float32)

    def make(values: np.ndarray, gap: int, is_busy: bool) -> Any:
        height, width = values.shape
        room = cupy.zeros((height, width + gap), values.dtype)
        ready = cupy.asarray(values)
        stream.synchronize()
        for _ in range(_ROUNDS if is_busy else 0):
            busy.__imul__(1.0)
        room[:, :width] = ready
        return room[:, :width]

    return Library("cupy", lambda: stream, make)


def torch_library() -> Library:
    """torch: DLPack.

    Raises:
        ImportError: It is not installed, or without CUDA.
    """
    import torch

    if not torch.cuda.is_available():
        raise ImportError("torch finds no card")
    stream = torch.cuda.Stream()
    busy = torch.ones(_BUSY, device="cuda")

    def make(values: np.ndarray, gap: int, is_busy: bool) -> Any:
        height, width = values.shape
        room = torch.zeros((height, width + gap), device="cuda").to(torch.from_numpy(values).dtype)
        ready = torch.from_numpy(values).cuda()
        stream.synchronize()
        for _ in range(_ROUNDS if is_busy else 0):
            busy.mul_(1.0)
        room[:, :width] = ready
        return room[:, :width]

    return Library("torch", lambda: torch.cuda.stream(stream), make)


def measure(library: Library) -> dict[str, float]:
    """Check the copies of a library's images, and time them.

    Returns:
        Median ms of a copy into memory that is there, by dtype, size and layout.

    Raises:
        AssertionError: Other values arrived.
        CineflowClientError: A copy failed.
    """
    from cineflow_client.card_array import CardArray
    from cineflow_client.cuda_arrays import array_of

    def copied(image: Any, target: np.ndarray) -> float:
        began_s = time.perf_counter()
        array = array_of(image)
        assert isinstance(array, CardArray)
        array.wait()
        array.write_to(target)
        return 1e3 * (time.perf_counter() - began_s)

    random = np.random.default_rng(3)
    times = {}
    for dtype in (np.uint8, np.float32):
        for size in SIZES:
            for gap in (0, 64):
                target = np.zeros(size, dtype)
                for _ in range(3):
                    values = random.integers(0, 255, size).astype(dtype)
                    with library.on_stream():
                        copied(library.make(values, gap, True), target)
                    np.testing.assert_array_equal(target, values)
                with library.on_stream():
                    image = library.make(values, gap, False)
                    copied(image, target)
                    found = statistics.median(copied(image, target) for _ in range(REPEATS))
                layout = "rows apart" if gap else "contiguous"
                times[f"{np.dtype(dtype)} {size[1]}x{size[0]} {layout}"] = round(found, 4)
    return times


def measure_all() -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The figures of each library that is here, and why the others are not."""
    figures, reasons = {}, {}
    for make in (cupy_library, torch_library):
        name = f"frames of {make.__name__.removesuffix('_library')}"
        try:
            with _client():
                figures[name] = measure(make())
        except ImportError as error:
            reasons[name] = str(error)
    return figures, reasons


@contextlib.contextmanager
def _client() -> Iterator[None]:
    """The client of this tree, where it is not installed."""
    sys.path.append(str(ROOT / "client" / "src"))
    try:
        yield
    finally:
        sys.path.pop()
