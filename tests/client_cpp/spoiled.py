"""What a broken server could make of a response."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

from tests.client_cpp.hostile_direct import message_of

_NAMES = ("flow", "labels", "indices", "notes", "strange", "", "state")
_TYPES = ("FP16", "FP32", "BYTES", "", "INT64", "UINT8", "FP64")
_SIZES = (0, -1, 1, 7, 2**20, 2**48, 2**61, 2**62, -(2**63))


def spoiled(response: Any, draw: random.Random) -> Any:
    """The response or its bytes, with up to two changes; half of them stay as they are."""
    inferred = response.infer_response
    for _ in range(draw.choice((0, 0, 1, 2))):
        if not inferred.outputs:
            break
        output = draw.choice(inferred.outputs)
        raw = inferred.raw_output_contents
        at = draw.randrange(len(raw)) if raw else None
        change = draw.randrange(9)
        if change == 0:
            output.datatype = draw.choice(_TYPES)
        elif change == 1:
            output.name = draw.choice(_NAMES)
        elif change == 2:
            output.shape.append(draw.choice(_SIZES))
        elif change == 3 and output.shape:
            output.shape[draw.randrange(len(output.shape))] = draw.choice(_SIZES)
        elif change == 4:
            output.shape[:] = [0, 2**61, 2**61]
        elif change == 5 and at is not None:
            del raw[at]
        elif change == 6 and at is not None:
            raw[at] = raw[at][: draw.randrange(len(raw[at]) + 1)]
        elif change == 7:
            inferred.id = draw.choice(("", "99", "again-1", "end", "alive", "7" * 19, "-1"))
        elif change == 8:
            data = bytearray(response.SerializeToString())
            data[draw.randrange(len(data))] = draw.randrange(256)
            return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.5 else data)
    return response


_DTYPES = ("float16", "float64", "uint8", "bytes", "", 7, None)


def spoiled_message(message: bytes, draw: random.Random) -> bytes | None:
    """A message of a direct connection, or what is sent in its place; None: the connection ends."""
    size, _ = struct.unpack_from("<II", message)
    header, payload = json.loads(message[8 : 8 + size]), message[8 + size :]
    output = draw.choice(header["outputs"])
    change = draw.randrange(14)
    if change == 0:
        output[0] = draw.choice((*_NAMES, 3, None))
    elif change == 1:
        output[1] = draw.choice(_DTYPES)
    elif change == 2:
        output[2] = [*output[2], draw.choice(_SIZES)]
    elif change == 3 and output[2]:
        output[2] = [draw.choice((*_SIZES, 1.5, "2")), *output[2][1:]]
    elif change == 4:
        output[3] = draw.choice((not output[3], None, 1))
    elif change == 5:
        header["id"] = draw.choice(("", "99", "again-1", "end", "alive", "7" * 19, 7, None))
    elif change == 6:
        payload = payload[: draw.randrange(len(payload))]
    elif change == 7:
        header = draw.choice(([], 3, {}, {"id": "1"}, b"{", b"[" * 100_000))
    elif change == 8:
        data = bytearray(message_of(header, payload))
        data[draw.randrange(8, 8 + size)] = draw.randrange(256)
        return bytes(data)
    elif change == 9:
        return struct.pack("<II", draw.choice((2**20 + 1, 2**32 - 1, 3)), draw.choice((0, 2**31)))
    elif change == 10:
        return b""  # nothing comes
    elif change == 11:
        return None
    return message_of(header, payload)
