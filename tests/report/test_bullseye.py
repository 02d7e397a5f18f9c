"""The bull's eye has each segment at its position in the AHA model."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Wedge

from cineflow.errors import ArgumentError
from cineflow.report.bullseye import bullseye


def test_each_segment_has_its_position_and_number() -> None:
    figure = bullseye(np.arange(1.0, 18.0), "segment number")
    axes = figure.axes[0]
    assert len([p for p in axes.patches if isinstance(p, Wedge)]) == 17
    position = {text.get_text(): text.get_position() for text in axes.texts}
    assert len(position) == 17
    assert position["1"] == pytest.approx((0.0, 0.875))  # basal anterior: top
    assert position["4"] == pytest.approx((0.0, -0.875), abs=1e-9)  # basal inferior: bottom
    assert position["2"][0] < 0 < position["6"][0]  # the septum is on the left
    assert position["14"] == pytest.approx((-0.375, 0.0), abs=1e-9)  # apical septal
    assert position["17"] == pytest.approx((0.0, 0.0))


def test_a_segment_without_value_is_grey() -> None:
    values = np.full(17, np.nan)
    values[3] = -18.0
    axes = bullseye(values, "strain, %").axes[0]
    assert sorted({text.get_text() for text in axes.texts}) == ["-", "-18"]
    grey = [p for p in axes.patches if p.get_facecolor()[:3] == pytest.approx((0.85,) * 3)]
    assert len(grey) == 16


@pytest.mark.parametrize("values", [np.zeros(16), np.full(17, np.nan)])
def test_nothing_to_draw_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="17 values"):
        bullseye(values, "strain")


def test_limits_out_of_order_are_refused() -> None:
    with pytest.raises(ArgumentError, match="limits"):
        bullseye(np.zeros(17), "strain", limits=(1.0, -1.0))


def test_whole_numbers_have_whole_ticks() -> None:
    for digits in (0, 2):
        figure = bullseye(np.linspace(1, 4, 17), "score", limits=(1.0, 4.0), digits=digits)
        ticks = figure.axes[1].get_yticks()
        assert all(tick == round(tick) for tick in ticks) == (digits == 0)
