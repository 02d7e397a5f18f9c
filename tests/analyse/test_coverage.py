"""The uncertainty holds the true error of phantoms that were not used to fit it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.strain_error import cases, samples
from cineflow.cli.analyse.job import Model
from cineflow.motion.strain_error import INTERVAL


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_sigma_hold_most_errors(model: Model) -> None:
    made = cases(900)
    found = [
        sample
        for name in ("short axis", "apical, 30 Hz, 18 dB")
        for sample in samples(name, made[name](), model)
    ]
    for direction in ("circumferential", "radial", "longitudinal"):
        mine = [one for one in found if one.direction == direction]
        held = np.mean([abs(one.error) <= INTERVAL * one.sigma for one in mine])
        assert held >= 0.8, direction
        # Not by being as wide as the strain itself.
        assert np.mean([INTERVAL * one.sigma for one in mine]) < 0.1, direction
