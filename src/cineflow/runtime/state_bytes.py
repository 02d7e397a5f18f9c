"""A stream's state as bytes and back, so that it can leave the process.

A server sends them with a result, and a client sends them back with the first frame of another
stream, which goes on as if nothing had happened. They come over the wire, so nothing in them is
trusted: there is no pickle, each value must have the type that its field states, and
`StreamState.require_fits` checks the rest.

The bytes are the magic, the length of a JSON header, the header, then the arrays one after the
other. Frames whose grey levels are whole numbers of 8 bits are stored in 8 bits.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import types
import typing
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

from cineflow.errors import SpecError
from cineflow.ops.held import stays
from cineflow.runtime.feed import STAYS, FeedState
from cineflow.runtime.state import StreamState

_MAGIC = b"cineflow state 1"
_LENGTH = struct.Struct("<Q")
#: Types of the arrays of a state, as NumPy writes them.
_DTYPES = frozenset({"|b1", "|u1", "<i4", "<i8", "<f2", "<f4", "<f8"})
#: Types of the values that JSON has.
_PLAIN = frozenset({bool, int, float, str, types.NoneType})
_REMEDY = "Send the bytes of a result's `state` as they came, to a server of the same version."


def state_to_bytes(state: StreamState) -> bytes:
    """The state as bytes of its own; `state_from_bytes` is the way back, bit for bit."""
    return b"".join(piece.data for piece in state_pieces(state))


def state_pieces(state: StreamState) -> list[np.ndarray]:
    """The bytes of a state in pieces, uint8 [N], most of them without a copy."""
    arrays: list[np.ndarray] = []
    values = _plain(state, arrays)
    header = {
        "arrays": [[array.dtype.str, list(array.shape)] for array in arrays],
        "state": values,
    }
    text = json.dumps(header).encode()
    first = np.frombuffer(b"".join((_MAGIC, _LENGTH.pack(len(text)), text)), np.uint8)
    return [first, *(array.reshape(-1).view(np.uint8) for array in arrays)]


def state_from_bytes(data: bytes | memoryview) -> StreamState:
    """The state that `state_to_bytes` was given.

    Its types are checked here. Whether a model can go on from it is `StreamState.require_fits`.

    Raises:
        SpecError: The bytes are not a state, or are cut off.
    """
    data = memoryview(data)
    start = len(_MAGIC) + _LENGTH.size
    if len(data) < start or data[: len(_MAGIC)] != _MAGIC:
        raise _not_a_state("bytes that begin otherwise")
    (length,) = _LENGTH.unpack(data[len(_MAGIC) : start])
    if length > len(data) - start:
        raise _not_a_state(f"{len(data)} bytes, which end within the header")
    try:
        header = json.loads(bytes(data[start : start + length]))
        arrays = _arrays(header["arrays"], data[start + length :])
        state: StreamState = _typed(StreamState, header["state"], arrays, "state")
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise _not_a_state(f"{type(error).__name__}: {error}") from error
    return state


def _not_a_state(got: str) -> SpecError:
    return SpecError("the bytes of a stream's state", got, _REMEDY)


# --- Writing --------------------------------------------------------------------------------------


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON has it. Arrays go into `arrays`; their position stands for them."""
    if type(value) in _PLAIN:  # most values are
        return value
    if stays(value):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        arrays.append(np.ascontiguousarray(value, value.dtype.newbyteorder("<")))
        return len(arrays) - 1
    if isinstance(value, FeedState):
        return {name: _plain(frames, arrays) for name, frames in _narrowed(value).items()}
    if dataclasses.is_dataclass(value):
        kind: Any = type(value)
        return {name: _plain(getattr(value, name), arrays) for name in _names(kind)}
    if isinstance(value, tuple):
        return [_plain(item, arrays) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item, arrays) for name, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _narrowed(feed: FeedState) -> dict[str, Any]:
    """The fields of the frames that a run needs, in 8 bits where that loses nothing."""
    return {
        "last": _narrow(feed.last) if feed.last_grey is None else feed.last_grey,
        "reference": None if feed.reference is None else _narrow(feed.reference),
        "window": tuple(map(_narrow, feed.window)),
        "since_run": feed.since_run,
    }


def _narrow(frame: np.ndarray) -> np.ndarray:
    """A frame in 8 bits, if that loses nothing."""
    first = frame[0]
    if not ((first >= 0) & (first <= 255)).all():  # the conversion would be undefined
        return frame
    with np.errstate(invalid="ignore"):
        if (first.astype(np.uint8) != first).any():  # most frames of floats end here
            return frame
        grey = frame.astype(np.uint8)
    return grey if (grey == frame).all() else frame


# --- Reading --------------------------------------------------------------------------------------


def _arrays(rows: list[Any], data: memoryview) -> list[np.ndarray]:
    arrays, start = [], 0
    for kind, shape in rows:
        if kind not in _DTYPES:
            raise ValueError(f"an array of type {kind!r}")
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError(f"an array of shape {shape}")
        dtype = np.dtype(kind)
        end = start + math.prod(shape) * dtype.itemsize
        if end > len(data):
            raise ValueError(f"{len(data)} bytes of arrays, which end within one of shape {shape}")
        arrays.append(np.frombuffer(data[start:end], dtype).reshape(shape).copy())
        start = end
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    return arrays


def _typed(kind: Any, value: Any, arrays: list[np.ndarray], name: str) -> Any:
    """`value` as the type `kind`, which is what the field `name` states."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # only "X | None" is used
        (one,) = (item for item in inside if item is not types.NoneType)
        return None if value is None else _typed(one, value, arrays, name)
    if kind is np.ndarray or origin is np.ndarray:
        if type(value) is not int or not 0 <= value < len(arrays):
            raise ValueError(f"{name}: no array {value!r}")
        return arrays[value]
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), value, arrays, name)
    if origin is tuple:
        return tuple(_typed(inside[0], item, arrays, name) for item in _of(list, value, name))
    if origin is Mapping:
        items = _of(dict, value, name).items()
        return {key: _typed(inside[1], item, arrays, f"{name}.{key}") for key, item in items}
    if issubclass(kind, IntEnum):
        return kind(_of(int, value, name))
    if kind is float:
        number = float(_of((int, float), value, name))
        if not math.isfinite(number):
            raise ValueError(f"{name}: {value!r}")
        return number
    return _of(kind, value, name)


def _record(kind: type, value: Any, arrays: list[np.ndarray], name: str) -> Any:
    hints, value = _hints(kind), _of(dict, value, name)
    if value.keys() != hints.keys():
        raise ValueError(f"{name}: the fields {sorted(value)}, not {sorted(hints)}")
    parts = {key: _typed(hints[key], item, arrays, f"{name}.{key}") for key, item in value.items()}
    if kind is FeedState:
        parts["last"] = parts["last"].astype(np.float32, copy=False)
        parts["window"] = tuple(one.astype(np.float32, copy=False) for one in parts["window"])
        if parts["reference"] is not None:
            parts["reference"] = parts["reference"].astype(np.float32, copy=False)
    return kind(**parts)


def _of(kind: Any, value: Any, name: str) -> Any:
    """`value`, if it is of the type `kind`; True is not a number here."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name}: {value!r}")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in _names(kind)}


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass that leave the process."""
    return tuple(one.name for one in dataclasses.fields(kind) if STAYS not in one.metadata)
