"""Score thresholds relative to a heart's own best segments, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.aha import ScoreRule, wall_motion_score


@pytest.mark.parametrize("normal", [0.1, 0.15, 0.25])
def test_relative_scores_do_not_depend_on_the_normal_strain(normal: float) -> None:
    contraction = normal * np.array([1.1, 0.9, 0.66, 0.64, 0.26, 0.24, -0.19, -0.21, np.nan])
    scores = wall_motion_score(contraction, ScoreRule.relative_to(contraction))
    np.testing.assert_array_equal(scores, [1, 1, 1, 2, 2, 3, 3, 4, 0])


@pytest.mark.parametrize("contraction", [[], [0.12, np.nan], [-0.03, -0.01, -0.08]])
def test_a_heart_without_a_normal_is_refused(contraction: list[float]) -> None:
    with pytest.raises(ArgumentError, match="two or more segments"):
        ScoreRule.relative_to(np.array(contraction))


def test_an_infinite_strain_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1 infinite"):
        ScoreRule.relative_to(np.array([np.inf, 0.2, 0.2]))
