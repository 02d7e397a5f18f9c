"""Encoding each frame once gives what encoding both frames of a pair gives, for less work.

`make bench-models` measures what it gains; the counts of the encoder's runs are in the networks'
own tests.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.models.facts import SYSTEMS
from benchmarks.models.gain import macs_of
from benchmarks.models.twice import ENCODING_ONCE, forms_of
from cineflow.export import load_recipe

#: Multiplications of the form that encodes both frames, over those of the network in `small`.
PREDICTED = {
    "joint_motion_seg": 1.58,
    "motion_scoring": 1.21,
    "pairwise_motion": 1.41,
    "pairwise_motion_reference": 1.41,
    "flow_pwc_stream": 1.04,
}


SLOW = ("motion_scoring", "pairwise_motion_reference")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name in ENCODING_ONCE
    ],
)
def test_both_forms_give_the_same(name: str) -> None:
    sizes = {"height": 64, "width": 64}
    once, twice = forms_of(name, "small", sizes)
    results = []
    for form in (once, twice):
        with torch.inference_mode():
            given = form.module(*form.inputs.values())
        given = given if isinstance(given, tuple) else (given,)
        names = [one.name for one in (*form.spec.outputs, *form.spec.states)]
        results.append(dict(zip(names, given, strict=True)))
    for key, wanted in results[1].items():
        torch.testing.assert_close(results[0][key], wanted, atol=2e-4, rtol=1e-4, msg=key)
    assert macs_of(twice) / macs_of(once) == pytest.approx(PREDICTED[name], abs=0.01)


def test_every_recipe_that_keeps_the_other_frame_is_compared() -> None:
    names = [name for members in SYSTEMS.values() for name in members]
    kept = {
        name
        for name in names
        if any(state.name == "begun" for state in load_recipe(name).spec.states)
    }
    assert kept <= set(ENCODING_ONCE)
