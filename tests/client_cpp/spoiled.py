"""What a broken server could make of a response."""

from __future__ import annotations

import random
from typing import Any

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
