"""Intake: an application's frame becomes what travels, and its result comes back in its size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cineflow_client.card_array import CardArray
from cineflow_client.cuda_arrays import Picture
from cineflow_client.frames import checked_arrays, checked_frame, checked_spacing, require_numbers
from cineflow_client.metadata import ModelInfo
from cineflow_client.padding import Padding
from cineflow_client.served import STATE, Result
from cineflow_client.slots import NO_SLOT
from cineflow_client.wire import Step


class Intake:
    """Checks the frames of one stream. One thread at a time.

    Args:
        model: That takes the frames.
        state: The state that the stream begins with; None for a new one.
        spacing_mm: mm per pixel; None if it is not known.

    Attributes:
        at_start: What goes with the first frame.
        begins_anew: Whether there is no state, which would bring what is given at START.
    """

    def __init__(
        self, model: ModelInfo, state: bytes | None, spacing_mm: tuple[float, ...] | None
    ) -> None:
        self.at_start: dict[str, np.ndarray] = {}
        if spacing_mm is not None:
            self.at_start["spacing_mm"] = checked_spacing(spacing_mm, model.frame_rank)
        if state is not None:
            self.at_start[STATE.name] = np.frombuffer(state, np.uint8)
        self.begins_anew = state is None
        self._model = model
        feed = model.spec["feed"]
        given = [item for item in model.spec["inputs"] if item["name"] not in feed["inputs"]]
        self._given_first = given
        self._given_each = [item for item in given if item["name"] not in feed["at_start"]]
        self._size: tuple[int, ...] | None = None  # of the caller's frames
        self._offered: tuple[int, ...] = ()  # of the frame that is being sent
        self._padding: Padding | None = None
        self._dark = True  # every frame so far was black, so a scale of 0..1 can still show

    @property
    def size(self) -> tuple[int, ...]:
        """Of the frames that travel. Only after the first one."""
        assert self._padding is not None
        return self._padding.size

    def step(
        self,
        frame: Picture,
        index: int | None,
        beat: bool | None,
        time_ms: float | None,
        given: Mapping[str, Picture],
    ) -> Step:
        """What is sent of a frame, without a slot yet.

        Raises:
            FrameRejected: Something does not fit.
            CardUnavailable: The frame is on a card that cannot be read.
        """
        array = checked_frame(frame, self._model, self._size, dark=self._dark)
        if self._size is None:
            self._padding = Padding(self._model, array.shape)
        assert self._padding is not None
        self._offered = array.shape
        if isinstance(array, CardArray):
            array.pad(self._padding.size)
        else:
            array = self._padding.pad(array)
        require_numbers(index, beat, time_ms)
        return Step(array, index, beat, time_ms, NO_SLOT, self._given(given, array.shape))

    def taken(self, step: Step) -> None:
        """The frame was sent: those that follow have its size."""
        self._size = self._offered
        self._dark = self._dark and not step.frame.any()

    def crop(self, result: Result) -> Result:
        """The result in the size of the caller's frames."""
        assert self._padding is not None
        return self._padding.crop(result)

    def _given(self, given: Mapping[str, Picture], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The further inputs of this frame. Those that come once are kept for the first request."""
        first = self._size is None and self.begins_anew
        now = self._given_first if first else self._given_each
        if not now and not given:
            return {}
        sizes = self._model.axis_sizes(shape)
        arrays = checked_arrays(self._model.served_name, now, given, sizes)
        at_start = self._model.spec["feed"]["at_start"]
        once = {name: arrays.pop(name).copy() for name in at_start if name in arrays}
        self.at_start |= once
        return arrays
