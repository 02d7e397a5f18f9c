"""The C++ client for tests of several folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.client_cpp import builds
from tests.client_cpp.driver import CppClient, Driver


def built() -> Path:
    """The folder with the built programs; skips the test where the libraries are missing."""
    if lacking := builds.missing():
        pytest.skip(f"the C++ client is not built: {lacking}")
    return builds.build()


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(built() / "tests" / "driver") as running:
        yield running


@pytest.fixture(scope="module")
def frames(moving_frames: np.ndarray) -> np.ndarray:
    """36 frames of a texture that goes there, back and there."""
    return np.concatenate([moving_frames, moving_frames[::-1], moving_frames])


@contextmanager
def _connected(driver: Driver, floats: bool, secure: Path | None, url: str) -> Iterator[CppClient]:
    yield CppClient(driver, url, floats=floats, secure=secure)


def connect(
    driver: Driver, case: Mapping[str, Any], secure: Path | None = None
) -> Callable[[str], Any]:
    """What makes the twins' client for a case."""
    return partial(_connected, driver, "FP32" in str(case["steps"]), secure)
