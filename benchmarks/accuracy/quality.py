"""Does the label-free quality follow the true error? Ranks within and across conditions.

    python -m benchmarks.accuracy.quality [--fit] [--out build/bench] [--docs]

Measures the index of `cineflow.motion.quality` on held-out phantoms. In some conditions the
disturbance comes in bursts (`benchmarks.accuracy.bursts`). With --fit it uses the tuning phantoms
instead and prints the rule for `cineflow.motion.quality_rule`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from benchmarks.accuracy.bursts import Sequence, held_out_sequences, tuning_sequences
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import bundle
from benchmarks.accuracy.output import arguments, publish
from benchmarks.repeat import repeat_line
from cineflow.motion.metrics import end_point_error
from cineflow.motion.quality import assess, halved
from cineflow.motion.quality_rule import OFFSET, SUSPECT_PX, Parts, Rule
from cineflow.served import Quality

#: A frame with a larger mean error over the wall has failed.
FAILED_PX = 0.5
#: The fit counts larger errors as this one, because the parts cannot tell how far a track is lost.
_LOST_PX = 2.0


@dataclass(frozen=True)
class Sample:
    """One pair: its quality without and with the backward flow, and its true error, px."""

    condition: str
    quality: Quality
    with_backward: Quality
    error_px: float


def samples(track: Tracker, sequences: Iterable[Sequence]) -> list[Sample]:
    """Every pair of every sequence."""
    found = []
    for one in sequences:
        before = None
        for i, truth in enumerate(one.flows):
            a, b = one.frames[i], one.frames[i + 1]
            flow, backward = track(a, b), track(_half(b), _half(a))
            frames = int(one.indices[i + 1] - one.indices[i])
            both, _ = assess(a, b, flow, before=before, frames=frames, backward=backward)
            alone, before = assess(a, b, flow, before=before, frames=frames)
            error = end_point_error(flow, truth, one.walls[i]).mean_px
            found.append(Sample(one.condition, alone, both, error))
        print(f"{one.condition}, {one.name}: {len(one.flows)} pairs", flush=True)
    return found


def _half(frame: np.ndarray) -> np.ndarray:
    return halved(frame.astype(np.float32))


def figures(errors: np.ndarray, expected: np.ndarray) -> dict[str, float | int | None]:
    """How well the expected error ranks the true error."""
    failed = errors > FAILED_PX
    flagged = expected > SUSPECT_PX
    return {
        "pairs": len(errors),
        "failed": int(failed.sum()),
        "spearman": spearman(errors, expected),
        "auroc_failed": auroc(expected, failed),
        "flagged_of_failed": float(flagged[failed].mean()) if failed.any() else None,
        "flagged_of_good": float(flagged[~failed].mean()) if not failed.all() else None,
        "median_error_px": float(np.median(errors)),
        "median_expected_px": float(np.median(expected)),
    }


def table(found: list[Sample], backward: bool = False) -> dict[str, dict[str, float | int | None]]:
    """`figures` for each condition and for all pooled."""
    expected = np.array(
        [(s.with_backward if backward else s.quality).expected_error_px for s in found]
    )
    errors = np.array([s.error_px for s in found])
    names = np.array([s.condition for s in found])
    rows = {c: figures(errors[names == c], expected[names == c]) for c in dict.fromkeys(names)}
    return {**rows, "pooled": figures(errors, expected)}


def markdown(rows: dict[str, dict[str, float | int | None]]) -> str:
    """Markdown of the rows of `table`."""

    def cell(value: float | int | None, percent: bool = False) -> str:
        if value is None:
            return "–"
        return f"{100 * value:.0f} %" if percent else f"{value:.2f}"

    lines = [
        "| condition | pairs | failed | Spearman | AUROC | caught | false alarms "
        "| median error, px | expected, px |",
        "|---" * 9 + "|",
    ]
    for name, row in rows.items():
        cells = [
            cell(row["spearman"]),
            cell(row["auroc_failed"]),
            cell(row["flagged_of_failed"], percent=True),
            cell(row["flagged_of_good"], percent=True),
            cell(row["median_error_px"]),
            cell(row["median_expected_px"]),
        ]
        lines.append(f"| {name} | {row['pairs']} | {row['failed']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation. Ties get their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Probability that a positive scores above a negative (Mann-Whitney); None unless there is at
    least one of each."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return None
    above = _ranks(score)[positive].sum() - count * (count - 1) / 2
    return float(above / (count * (len(positive) - count)))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def fit(found: list[Sample], *, backward: bool) -> Rule:
    """The rule fitted to tuning samples. Every condition has the same weight."""
    kept = [s for s in found if np.isfinite(s.quality.photometric_px or 0.0)]
    parts = [_parts(s.with_backward if backward else s.quality) for s in kept]
    later = [(p.appearance, p.temporal_px) for p in parts if p.temporal_px is not None]
    usual = tuple(np.log(np.array(later) + OFFSET).mean(axis=0).round(3).tolist())
    columns = np.array([p.logarithms(usual) for p in parts]).T
    target = np.log(np.minimum([s.error_px for s in kept], _LOST_PX))
    names = np.array([s.condition for s in kept])
    share = np.array([1.0 / (names == name).sum() for name in names])
    weights, constant = _non_negative(columns, target, share / share.sum())
    return Rule(round(constant, 3), tuple(round(w, 3) for w in weights), usual)


def _parts(quality: Quality) -> Parts:
    return Parts(**{one.name: getattr(quality, one.name) for one in fields(Parts)})


def _non_negative(
    columns: np.ndarray, target: np.ndarray, share: np.ndarray
) -> tuple[list[float], float]:
    """Weights >= 0 and a free constant of the least-squares fit, by coordinate descent."""
    centred = columns - (columns @ share)[:, None]
    wanted = target - target @ share
    gram, moment = (centred * share) @ centred.T, (centred * share) @ wanted
    weights = np.zeros(len(columns))
    for _ in range(10_000):
        for k in range(len(weights)):
            rest = moment[k] - gram[k] @ weights + gram[k, k] * weights[k]
            weights[k] = max(0.0, rest / gram[k, k])
    return weights.tolist(), float(target @ share - weights @ (columns @ share))


def best_threshold(errors: np.ndarray, expected: np.ndarray) -> float:
    """Threshold with the largest sensitivity plus specificity for failed pairs (Youden)."""
    failed = errors > FAILED_PX
    steps = np.unique(expected)
    gain = [(expected[failed] > s).mean() + (expected[~failed] <= s).mean() for s in steps]
    best = int(np.argmax(gain))
    return float(np.sqrt(steps[best] * steps[min(best + 1, len(steps) - 1)]))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--fit", action="store_true", help="fit the rule on the tuning phantoms")
    given = parser.parse_args()
    track = bundle()
    if given.fit:
        found = samples(track, tuning_sequences())
        rule = fit(found, backward=False)
        errors = np.array([s.error_px for s in found])
        expected = np.array([rule.expected_error_px(_parts(s.quality)) for s in found])
        print("WITHOUT_BACKWARD =", rule)
        print("WITH_BACKWARD =", fit(found, backward=True))
        print("SUSPECT_PX =", round(best_threshold(errors, expected), 3))
        print(repeat_line())
        return
    found = samples(track, held_out_sequences())
    alone, both = table(found), table(found, backward=True)
    text = markdown({**alone, "pooled, with the backward flow": both["pooled"]})
    data = {"index": alone, "index with the backward flow": both}
    publish(given, "accuracy_quality", text, data, "motion/quality.md")


if __name__ == "__main__":
    main()
