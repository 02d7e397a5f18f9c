"""Accuracy of the default tracker on volumes, compared with SimpleITK's demons.

    python -m benchmarks.accuracy.volumes [--quick] [--out build/bench] [--docs]

Measures the error from one volume to the next over the wall, on phantoms that were not used to
choose a setting. The conditions differ in how much the texture changes between two
volumes; the correlation of the wall once the true motion is undone says how much of it is left.

The tracker is the torch module of the recipe, with which every export is compared. A demons filter
runs at half and at full resolution; `_DEMONS` says how its settings were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.output import arguments, publish
from cineflow.motion.metrics import end_point_error
from cineflow.ops import warp
from cineflow.phantom import Beat, VentriclePhantom, ventricle

OURS = "cineflow lucas_kanade_3d"
#: Volumes are measured from end-diastole to end-systole, which is at 0.36 of a beat.
_BEATS = 0.4

_HEARTS: tuple[tuple[int, dict[str, Any]], ...] = (
    (901, {}),
    (902, {"endo_mm": 22.0, "wall_mm": 10.0, "endo_ratio": 0.66, "apex_rotation_deg": 11.0}),
)
#: On which settings are chosen.
_TUNING_HEARTS: tuple[tuple[int, dict[str, Any]], ...] = (
    (51, {}),
    (52, {"endo_mm": 24.0, "wall_mm": 8.5, "endo_ratio": 0.75, "apex_rotation_deg": 6.0}),
    (54, {"endo_mm": 20.0, "wall_mm": 11.0, "endo_ratio": 0.68, "apex_rotation_deg": 14.0}),
)
_CONDITIONS: dict[str, tuple[float, dict[str, Any]]] = {
    "MR, 20 volumes/s": (20.0, {"contrast": "mr"}),
    "ultrasound, 40 volumes/s": (40.0, {}),
    "ultrasound, 20 volumes/s": (20.0, {}),
}


@dataclass(frozen=True)
class VolumeCase:
    """One phantom from end-diastole to end-systole.

    Attributes:
        condition: Row of the table.
        seed: Of the texture and the noise.
        rate_hz: Volumes per second.
        settings: Arguments of `ventricle`.
    """

    condition: str
    seed: int
    rate_hz: float
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def phantom(self) -> VentriclePhantom:
        beat = Beat(frame_rate_hz=self.rate_hz, beats=_BEATS)
        return ventricle(self.seed, beat=beat, **self.settings)

    @property
    def pairs(self) -> range:
        """First volume of each pair that is measured, about four over systole."""
        return range(1, self.phantom.es, max(1, self.phantom.es // 4))


@dataclass(frozen=True)
class VolumeFigures:
    """Means over the pairs of both hearts.

    Attributes:
        pair_px: End-point error over the wall, voxels, by method.
        correlation: Of the wall in both volumes once the true motion is undone.
    """

    pair_px: Mapping[str, float]
    correlation: float


def _of(hearts: tuple[tuple[int, dict[str, Any]], ...]) -> list[VolumeCase]:
    return [
        VolumeCase(condition, seed, rate, {**heart, **settings})
        for condition, (rate, settings) in _CONDITIONS.items()
        for seed, heart in hearts
    ]


def cases() -> list[VolumeCase]:
    """Every condition with each held-out heart."""
    return _of(_HEARTS)


def tuning() -> list[VolumeCase]:
    """Every condition with each heart on which settings are chosen."""
    return _of(_TUNING_HEARTS)


def tracker(**settings: Any) -> Tracker:
    """The recipe's module, volumes u8 [D, H, W] -> flow f32 [3, D, H, W] voxels.

    Args:
        **settings: Of `LucasKanade3d`, in place of its defaults; for the search only.
    """
    import torch

    from cineflow.models.lucas_kanade_3d import LucasKanade3d

    net = LucasKanade3d(**settings).eval()

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        pair = [torch.from_numpy(one.astype(np.float32))[None, None] for one in (previous, current)]
        with torch.no_grad():
            return np.asarray(net(*pair)[0].numpy())

    return track


def demons(kind: str, sigma: float, iterations: int) -> Tracker:
    """One of SimpleITK's demons, at half and then at full resolution.

    Args:
        kind: Name of the filter without "RegistrationFilter".
        sigma: Standard deviation of the Gaussian that smooths the field, voxels.
        iterations: At each resolution.
    """
    import SimpleITK

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        fixed, moving = (
            SimpleITK.GetImageFromArray(one.astype(np.float32)) for one in (previous, current)
        )
        flow = None
        for shrink in (2, 1):
            pair = [SimpleITK.BinShrink(one, [shrink] * 3) for one in (fixed, moving)]
            method = getattr(SimpleITK, f"{kind}RegistrationFilter")()
            method.SetNumberOfIterations(iterations)
            method.SetSmoothDisplacementField(True)
            method.SetStandardDeviations(sigma)
            if flow is not None:  # lengths are those of the volume's spacing, so not scaled
                nothing, kind_of = SimpleITK.Transform(), flow.GetPixelID()
                flow = SimpleITK.Resample(
                    flow, pair[0], nothing, SimpleITK.sitkLinear, 0.0, kind_of
                )
            flow = method.Execute(*pair) if flow is None else method.Execute(*pair, flow)
        found = np.moveaxis(SimpleITK.GetArrayFromImage(flow), -1, 0)
        return np.ascontiguousarray(found, np.float32)

    return track


#: Filter -> smoothing in voxels, and iterations. Smoothings of 1.5 and 3 were tried on the tuning
#: phantoms; 3 for the fast symmetric and the diffeomorphic filter only.
_DEMONS: dict[str, tuple[float, int]] = {
    "FastSymmetricForcesDemons": (3.0, 30),
    "SymmetricForcesDemons": (3.0, 30),
    "DiffeomorphicDemons": (3.0, 30),
    "Demons": (3.0, 30),
}


def methods() -> dict[str, Tracker]:
    """Our tracker, no motion, and SimpleITK's filters where it is installed."""
    found: dict[str, Tracker] = {
        OURS: tracker(),
        "zero flow": lambda a, b: np.zeros((3, *a.shape), np.float32),
    }
    try:
        import SimpleITK

        SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    except ImportError:
        print("SimpleITK is not installed: make bench-accuracy installs the peers")
        return found
    peers = {f"SimpleITK {kind}": demons(kind, *chosen) for kind, chosen in _DEMONS.items()}
    return {**found, **peers}


def measure(
    case: VolumeCase, tracks: Mapping[str, Tracker], say: Callable[[str], None] = print
) -> VolumeFigures:
    """Mean error of each method over the pairs of one case."""
    errors: dict[str, list[float]] = {name: [] for name in tracks}
    left = []
    frames = case.phantom.frames
    for k in case.pairs:
        truth, wall = case.phantom.flow(k, k + 1), case.phantom.myocardium(k)
        second = frames[k + 1].astype(np.float32)
        back = warp(second[None, None], truth[None], border="clamp")[0, 0]
        left.append(np.corrcoef(frames[k][wall], back[wall])[0, 1])
        for name, track in tracks.items():
            flow = track(frames[k], frames[k + 1])
            errors[name].append(end_point_error(flow, truth, wall).mean_px)
    found = VolumeFigures(
        {name: float(np.mean(one)) for name, one in errors.items()}, float(np.mean(left))
    )
    say(f"{case.condition}, seed {case.seed}: {found}")
    return found


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: one row per method, one column per condition.

    Args:
        results: By condition: "correlation", and "pair_px" by method. Without any, a line that says
            so.
    """
    if not results:
        return f"{OURS} and its peers have not been measured on the held-out phantoms yet.\n"
    lines = [f"| pair error, voxels | {' | '.join(results)} |", "|---" * (1 + len(results)) + "|"]
    for name in next(iter(results.values()))["pair_px"]:
        cells = [f"{found['pair_px'][name]:.3f}" for found in results.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    left = [f"{found['correlation']:.2f}" for found in results.values()]
    lines.append(f"| correlation left by the true motion | {' | '.join(left)} |")
    return "\n".join(lines) + "\n"


def run(chosen: list[VolumeCase]) -> dict[str, dict[str, Any]]:
    """Means over the cases of each condition."""
    tracks = methods()
    every: dict[str, list[VolumeFigures]] = {}
    for case in chosen:
        every.setdefault(case.condition, []).append(measure(case, tracks))
    return {
        condition: {
            "pair_px": {
                name: float(np.mean([one.pair_px[name] for one in found])) for name in tracks
            },
            "correlation": float(np.mean([one.correlation for one in found])),
        }
        for condition, found in every.items()
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="one heart of the first condition")
    given = parser.parse_args()
    results = run(cases()[:1] if given.quick else cases())
    publish(given, "accuracy_volumes", table(results), results, "motion/volumes.md")


if __name__ == "__main__":
    main()
