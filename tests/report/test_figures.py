"""How figures are shown: no digit that their uncertainty denies, and colours that start at zero."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.report import strain_section
from cineflow.report.curves import Measure
from cineflow.report.page import with_interval


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (46.238, 13.1, "46 ± 13"),
        (33.571, 3.42, "33.6 ± 3.4"),
        (9.4311, 0.451, "9.43 ± 0.45"),
        (9.4311, 0.0012, "9.43 ± 0.00"),
        (135.4, 9.0, "135.4 ± 9.0"),
        (8.9281, 0.0, "8.93, as drawn"),
        (8.9281, np.inf, "8.93 ± not known"),
        (8.9281, np.nan, "8.93 ± not known"),
        (8.9281, None, "8.928"),
    ],
)
def test_a_figure_has_the_digits_that_its_interval_allows(value, interval, shown: str) -> None:
    assert with_interval(Measure("LVID [mm]", value, interval=interval)) == shown


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([-15.2, -17.1], (-20.0, 0.0)),
        ([31.7, 40.2], (0.0, 45.0)),
        ([-3.0, 4.0], (-5.0, 5.0)),
        ([0.0, np.nan], (-5.0, 0.0)),
    ],
)
def test_the_colours_of_a_bulls_eye_start_at_zero(values, limits: tuple[float, float]) -> None:
    """Two percent between segments looked like the whole scale."""
    assert strain_section._from_zero(np.array(values)) == limits
