"""Windows of frames at the end of a clip."""

from __future__ import annotations

from cineflow.spec import ModelSpec


def past_the_end(spec: ModelSpec, frames: int) -> range:
    """Indices of the frames that are sent after a clip, so that its last window is full.

    They repeat the last frame. Without them a window that moves on by several frames would say
    nothing about the end of a clip, or about a clip that is shorter than itself.

    Args:
        spec: The model.
        frames: Of the clip.
    """
    feed = spec.feed
    more = feed.length - frames if frames < feed.length else (feed.length - frames) % feed.hop
    return range(frames, frames + more)
