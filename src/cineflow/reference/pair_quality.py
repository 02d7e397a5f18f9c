"""The reference of `cineflow.ops.pair_quality`: whole arrays, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

_FIELDS = ("count", "grey_a", "grey_b", "pixels", "aa", "bb", "ab", "xx", "xy", "yy")
_ROUNDING, _LEAST_GRADIENT, _BLOCK_PX, _RENEWAL = 1.0 / 12.0, 1.0, 16.0, 0.2


def pair_quality(
    statistics: np.ndarray,
    flow_before: np.ndarray | None = None,
    tissue_before: np.ndarray | None = None,
    grey_before: np.ndarray | None = None,
    frames: float = 1.0,
) -> dict[str, Any]:
    """Arguments as in `cineflow.ops.pair_quality`, and its defined parts by name."""
    *fields, flow_x, flow_y, deformation, folded = statistics.astype(np.float64)
    of = dict(zip(_FIELDS, fields, strict=True))
    tissue, grey = of["count"] * (of["grey_a"] / 255.0) ** 2, of["grey_a"] * (of["count"] > 0)
    if tissue_before is not None and grey_before is not None:
        tissue = (1 - _RENEWAL) * tissue_before + _RENEWAL * tissue
        grey = (1 - _RENEWAL) * grey_before + _RENEWAL * grey
    weight = tissue / tissue.sum() if tissue.sum() > 0 else tissue
    textured = np.minimum(of["aa"], of["bb"]) > _ROUNDING
    found = {"supported": bool(weight[textured].any()), "tissue": tissue, "grey": grey}
    if not found["supported"]:
        return found

    residual = np.maximum(of["aa"] + of["bb"] - 2.0 * of["ab"], 0.0) + _ROUNDING
    # G is positive semidefinite, but its rounded sums may not be.
    squares = np.maximum(of["xx"] * of["yy"] - of["xy"] ** 2, 0.0)
    trace = of["xx"] + of["yy"]
    determinant = squares + _LEAST_GRADIENT * trace + _LEAST_GRADIENT**2
    variance = residual * (trace + 2 * _LEAST_GRADIENT) / determinant
    energy = np.sqrt(np.maximum(of["aa"], 0.0) * np.maximum(of["bb"], 0.0))
    agreed = np.where(energy > _ROUNDING, of["ab"] / np.maximum(energy, _ROUNDING), 0.0)

    located = np.where(textured, np.sqrt(variance), _BLOCK_PX)
    found |= {
        "photometric_px": weighted_quantile(located, weight, 0.8),
        "correlation": weighted_quantile(np.clip(agreed, -1.0, 1.0), weight, 0.2),
        "deformation": weighted_quantile(deformation, weight, 0.9),
        "folded": float((folded * weight).sum()),
    }
    if flow_before is not None and grey_before is not None:
        change = [np.abs(of[name] - grey_before) for name in ("grey_a", "grey_b")]
        x, y = np.stack([flow_x, flow_y]) - frames * flow_before.astype(np.float64)
        found["appearance"] = weighted_quantile(np.maximum(*change), weight, 0.8)
        found["temporal_px"] = float((np.hypot(x, y) * weight).sum())
    return found


def weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest value below or at which `share` of the weight lies."""
    order = np.argsort(values, axis=None)
    reached = np.cumsum(weight.ravel()[order])
    at = min(int(np.searchsorted(reached, share * reached[-1])), order.size - 1)
    return float(values.ravel()[order[at]])
