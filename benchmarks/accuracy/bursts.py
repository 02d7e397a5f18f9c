"""Cines with disturbances that come and go, to test whether a quality index finds bad frames.

A disturbance that is equally bad in every frame says little about an index. Here each frame has its
own severity. One phantom per severity is made from the same seed, so that all of them show the same
speckle on the same moving tissue. Each frame is taken from the phantom of its severity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import Case, disturbed, held_out, tuning
from cineflow.phantom import Beat, Shadow, ShortAxisPhantom, Tissue

#: Systole, the pause and early filling: the fastest motion of the beat is in it.
_BEAT = Beat(beats=0.62)


@dataclass(frozen=True, eq=False)
class Sequence:
    """A cine with the truth of each pair of neighbouring frames.

    Attributes:
        name, condition, seed: As `Case`.
        frames: u8 [T, H, W].
        indices: Number of each frame at the scanner, int [T]. A gap means that frames were lost.
        flows: True flow of each pair, f32 [T - 1, 2, H, W] px.
        walls: The wall at the first frame of each pair, bool [T - 1, H, W].
    """

    name: str
    condition: str
    seed: int
    frames: np.ndarray
    indices: np.ndarray
    flows: np.ndarray
    walls: np.ndarray


#: Settings of the phantom per severity, from none to the worst.
_LEVELS: dict[str, tuple[dict[str, Any], ...]] = {
    "noise bursts": tuple({"scanner": {"noise_db": db}} for db in (25.0, 8.0, 0.0, -6.0)),
    "shadow bursts": tuple(
        {"scanner": {"shadows": shadows}}
        for shadows in (
            (),
            (Shadow(-10.0, 14.0, 30.0),),
            (Shadow(-4.0, 26.0, 40.0),),
            (Shadow(2.0, 48.0, 45.0),),
        )
    ),
    # 1e-6 and not 0: the haze draws random numbers, and the speckle must stay the same
    "clutter bursts": tuple({"tissue": Tissue(clutter=c)} for c in (1e-6, 1.5, 5.0, 15.0)),
}


def of_case(case: Case) -> Sequence:
    """The systole of a case with a constant condition."""
    return Sequence(
        case.name,
        case.condition,
        case.seed,
        case.frames,
        np.arange(len(case.frames)),
        case.flows,
        case.walls,
    )


def tuning_sequences() -> list[Sequence]:
    """Sequences to which the rule of the index may be fitted."""
    return [*map(of_case, tuning() + disturbed("tuning")), *bursts(tuning()[:3], 300)]


def held_out_sequences() -> list[Sequence]:
    """Sequences on which the index is measured."""
    return [*map(of_case, held_out()[::2] + disturbed()), *bursts(held_out()[:6:2], 4000)]


def bursts(bases: list[Case], first_seed: int) -> list[Sequence]:
    """Every condition with a changing severity, on the geometry of each base, with new seeds."""
    special = {"lost frames": _lost_frames, "probe jolts": _probe_jolts}
    return [
        special.get(condition, _severities)(base, condition, first_seed + 10 * row + column)
        for row, condition in enumerate((*_LEVELS, *special))
        for column, base in enumerate(bases)
    ]


def _severities(base: Case, condition: str, seed: int) -> Sequence:
    phantoms = [
        ShortAxisPhantom(seed, **_with(base.settings, level), beat=_BEAT)
        for level in _LEVELS[condition]
    ]
    severity = _in_bursts(seed, len(phantoms[0]), len(phantoms))
    frames = np.stack([phantoms[level].frames[k] for k, level in enumerate(severity)])
    return _with_truth(base.name, condition, phantoms[0], frames, np.arange(len(frames)))


def _lost_frames(base: Case, condition: str, seed: int) -> Sequence:
    """Up to seven frames are lost between two that remain; the tissue also decorrelates."""
    tissue = Tissue(decorrelation=0.05)
    beat = Beat(frame_rate_hz=100.0, beats=0.95)
    phantom = ShortAxisPhantom(seed, **_with(base.settings, {"tissue": tissue}), beat=beat)
    gaps = np.random.default_rng(seed).choice([1, 1, 2, 2, 3, 4, 6, 8], size=len(phantom))
    indices = np.cumsum(gaps)
    indices = indices[indices < len(phantom)]
    return _with_truth(base.name, condition, phantom, phantom.frames[indices], indices)


def _probe_jolts(base: Case, condition: str, seed: int) -> Sequence:
    """The whole picture jumps by up to 15 px and comes back."""
    phantom = ShortAxisPhantom(seed, **base.settings, beat=_BEAT)
    rng = np.random.default_rng(seed)
    severity = _in_bursts(seed, len(phantom), 4)
    jolts = np.rint(severity[:, None] * rng.uniform(-5.0, 5.0, (len(phantom), 2))).astype(int)
    still = _with_truth(base.name, condition, phantom, phantom.frames, np.arange(len(phantom)))
    pairs = zip(still.flows, jolts[:-1], jolts[1:], strict=True)
    return Sequence(
        base.name,
        condition,
        seed,
        np.stack([_moved(f, jolt) for f, jolt in zip(still.frames, jolts, strict=True)]),
        still.indices,
        np.stack([_moved(flow, a) + (b - a)[:, None, None] for flow, a, b in pairs]).astype("f4"),
        np.stack([_moved(wall, jolt) for wall, jolt in zip(still.walls, jolts, strict=False)]),
    )


def _moved(picture: np.ndarray, jolt: np.ndarray) -> np.ndarray:
    """`picture` [..., H, W] shifted by whole pixels (x, y) and filled with 0."""
    (x, y), (height, width) = jolt, picture.shape[-2:]
    out = np.zeros_like(picture)
    out[..., max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = picture[
        ..., max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
    ]
    return out


def _in_bursts(seed: int, count: int, levels: int) -> np.ndarray:
    """Severity of each frame, int [count]: mostly 0, with bursts of one to three frames."""
    rng = np.random.default_rng([seed, 1])
    severity = np.zeros(count, int)
    frame = 2
    while frame < count:
        length = int(rng.integers(1, 4))
        severity[frame : frame + length] = rng.integers(1, levels)
        frame += length + int(rng.integers(1, 5))
    return severity


def _with_truth(
    name: str, condition: str, phantom: ShortAxisPhantom, frames: np.ndarray, indices: np.ndarray
) -> Sequence:
    pairs = list(zip(indices[:-1].tolist(), indices[1:].tolist(), strict=True))
    return Sequence(
        name,
        condition,
        phantom.seed,
        frames,
        indices,
        np.stack([phantom.flow(a, b) for a, b in pairs]),
        np.stack([phantom.myocardium(a) for a, _ in pairs]),
    )


def _with(settings: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    both = {**settings, **change}
    if "scanner" in settings and "scanner" in change:
        both["scanner"] = {**settings["scanner"], **change["scanner"]}
    return both
