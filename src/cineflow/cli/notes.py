"""What a report has to say of a clip and its model besides the figures."""

from __future__ import annotations

from collections.abc import Sequence

from cineflow.cine import Cine
from cineflow.cli.windows import past_the_end
from cineflow.motion.quality_grey import grey_factor
from cineflow.report.repeats import repeat_notes
from cineflow.spec import FeedKind, ModelSpec, Role


def clip_notes(spec: ModelSpec, cine: Cine, repeats: Sequence[int]) -> tuple[str, ...]:
    """All that was done to a clip, or must be known of its results.

    Args:
        spec: The model.
        cine: The clip as the model was given it.
        repeats: Frames that are exact copies of the frame before.
    """
    return (
        *_window_notes(spec, len(cine)),
        *_view_notes(spec),
        *_grey_notes(spec, cine),
        *weights_notes(spec),
        *repeat_notes(repeats),
    )


def _window_notes(spec: ModelSpec, frames: int) -> list[str]:
    feed, notes = spec.feed, []
    if feed.kind == FeedKind.WINDOW and feed.hop > 1:
        waits = "one more frame" if feed.hop == 2 else f"up to {feed.hop - 1} more frames"
        notes.append(
            f"{spec.name} sees {feed.length} frames at once and runs once for {feed.hop} frames: a "
            f"frame waits for its result for {waits}."
        )
    more = len(past_the_end(spec, frames))
    if more:
        notes.append(
            f"{spec.name} sees {feed.length} frames at once. The last frame was sent {more} times "
            "more to fill its last window, so what it says about the clip's end is less certain."
        )
    return notes


def _view_notes(spec: ModelSpec) -> list[str]:
    if not spec.view:
        return []
    return [
        f"{spec.name} is for one view: {spec.view}. No header says reliably which view a clip "
        "shows, so this was not checked. Its results on any other view are wrong."
    ]


def _grey_notes(spec: ModelSpec, cine: Cine) -> list[str]:
    factor = grey_factor(cine.frames, cine.sector)
    if factor == 1 or spec.output_of(Role.FLOW) is None:
        return []
    return [
        f"The clip uses few grey levels, which hide errors. The expected error of every frame was "
        f"multiplied by {factor:.2g}, and the quality is that much lower."
    ]


def weights_notes(spec: ModelSpec) -> list[str]:
    """What has to be said of a model's weights: that they are random, if they are."""
    if not spec.weights.seeded:
        return []
    return [
        f"Untrained weights: outputs are meaningless. {spec.name} has random numbers for weights."
    ]
