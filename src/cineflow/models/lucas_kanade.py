"""Dense pyramidal Lucas-Kanade as a static graph: motion without training.

`cineflow.models.pyramid_tracker` describes the method, which the 3-D form shares. A level is one
`cineflow.ops.lucas_kanade_step`, on a grid of every fourth pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from cineflow import ops
from cineflow.models.pyramid_tracker import PyramidTracker


class LucasKanade(PyramidTracker):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        sigma, refinements: As `PyramidTracker` has them, one for each of 1 to 4 levels, finest
            first; every level has one pass.
        slow, trust, floor: As `PyramidTracker` has them.
        ridge: Likewise, for every level.

    Raises:
        ArgumentError: `refinements` and `sigma` differ in length, not 1 to 4 levels, or a scale
            that is not positive.
    """

    axes = 2
    #: Frames are a multiple of 16 px, so the coarsest of four levels is a multiple of 2 px.
    cells = (4, 4, 4, 2)

    def __init__(
        self,
        sigma: Sequence[float] = (14.0, 11.0, 10.0, 10.0),
        refinements: Sequence[int] = (8, 0, 2, 3),
        slow: float = 6.5,
        trust: float = 8.0,
        floor: float = 25.0,
        ridge: float = 1.0,
    ) -> None:
        count = len(sigma)
        super().__init__(sigma, refinements, slow, trust, floor, [ridge] * count, range(count))
        self.sigma = tuple(sigma)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow of a frame pair.

        Args:
            previous: Earlier frame, grey levels 0..255, [B, 1, H, W] f32; H and W are multiples
                of 16.
            current: Later frame, same shape.

        Returns:
            flow [B, 2, H, W] px, channel 0 = x, 1 = y: current(p + flow(p)) shows what previous(p)
            shows.
        """
        return self.track(previous, current)

    def step(self, a: Tensor, b: Tensor, inside: Tensor, at: int) -> Tensor:
        """See `PyramidTracker.step`."""
        cell = self.cells[self.levels[at]]
        flow: Tensor = ops.lucas_kanade_step(
            a,
            b,
            inside,
            cell=cell,
            sigma=self.sigma[at] / cell,
            refinements=self.refinements[at],
            trust=self.trust,
            ridge=self.ridge[at],
        )
        return flow
