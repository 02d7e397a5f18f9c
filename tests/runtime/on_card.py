"""A model on the stand-in for a card, and what its results must be."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cineflow.ops.held import Held
from cineflow.runtime.engines.launches import LaunchSeries
from cineflow.served import Result
from tests.runtime.test_stream_beats import Pulse, picture
from tests.stand_ins.unreadable import Card

SIZE = 32, 48
FIELD = 2 * 32 * 48 * 4  #: Bytes of a flow or displacement.
STATISTICS = 14 * 2 * 3 * 4  #: Bytes of the statistics of the blocks.
FINITE = 1  #: Byte that says whether the flow is finite.
SAMPLES = 2 * 2 * 3 * 4  #: Bytes of one displacement for each block.


class _PulseStep:
    """One step of a series: the flow of `Pulse`, computed where the card's memory is."""

    scratch_bytes = 0

    def __init__(self, card: Card, pulse: Pulse) -> None:
        self.card, self.pulse = card, pulse
        self.values: dict[str, Any] = {}

    def bind(self, values: dict[str, Any]) -> _PulseStep:
        step = _PulseStep(self.card, self.pulse)
        size = values["current"].shape[-2:]
        values["flow"] = self.card.empty((1, 2, *size), np.float32)
        step.values = values
        return step

    def give_scratch(self, scratch: Any) -> None: ...

    def capturable(self, stream: Any) -> bool:
        return True

    def launch(self, stream: Any) -> None:
        def work() -> None:
            inputs = {name: self.values[name].array for name in ("previous", "current")}
            self.values["flow"].array[...] = self.pulse.run(inputs)["flow"]

        self.card.queue("pulse", work)


class PulseOnCard(Pulse):
    """`Pulse` as an engine on the card."""

    takes_held = True

    def __init__(self, card: Card, memory_bytes: int = 64 << 20) -> None:
        super().__init__()
        steps = [_PulseStep(card, Pulse())]
        cupy = sys.modules["cupy"]
        self.card = LaunchSeries(cupy, steps, ["previous", "current"], ["flow"], memory_bytes)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return self.card.run(inputs)[0]

    def run_leaving(
        self, inputs: Mapping[str, Any], carried: Mapping[str, Any], left: Sequence[str]
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        outputs, kept = self.card.run(inputs, left)
        return outputs | {name: Held(value, self.card) for name, value in kept.items()}, {}


def frame(index: int) -> np.ndarray:
    return np.ascontiguousarray(picture(index)[: SIZE[0], : SIZE[1]])


def same(found: Result, wanted: Result) -> None:
    """The card's results are the CPU's, up to rounding of composition and of the sums."""
    np.testing.assert_array_equal(found.flow, wanted.flow)
    np.testing.assert_allclose(found.displacement, wanted.displacement, rtol=0, atol=1e-4)
    assert found.flow is found.outputs["flow"].values
    assert (found.reference, found.current) == (wanted.reference, wanted.current)
    one, other = (
        {k: v for k, v in vars(r.beat_info).items() if k != "drift_px"} for r in (found, wanted)
    )
    assert one == other
    drifts = found.beat_info.drift_px, wanted.beat_info.drift_px
    if drifts != (None, None):
        np.testing.assert_allclose(*drifts, atol=1e-4)
    parts = [
        np.array([np.nan if v is None else v for v in vars(r.quality_parts).values()], float)
        for r in (found, wanted)
    ]
    np.testing.assert_allclose(*parts, rtol=2e-4, atol=2e-5)
