"""Whether values are finite numbers.

Every output of a model and every state is looked at, so this is part of each frame. It takes NumPy
arrays only: a card looks at what lies there by itself.
"""

from __future__ import annotations

import numpy as np

from cineflow import _C

_TYPES = frozenset({np.dtype(np.float32), np.dtype(np.float16)})


def all_finite(values: np.ndarray) -> bool:
    """Whether every value is a finite number: one pass, which makes no array.

    Args:
        values: Numbers of any shape and type. f32 and f16 [...] that are contiguous are looked at
            by our kernel, others by NumPy.
    """
    if values.dtype in _TYPES and values.flags.c_contiguous and values.flags.aligned:
        return bool(_C.all_finite(values))
    return bool(np.isfinite(values).all())
