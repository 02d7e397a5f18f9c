"""The trackers have the settings that the committed searches chose."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from cineflow.models.lucas_kanade import LucasKanade
from cineflow.models.lucas_kanade_3d import LucasKanade3d
from cineflow.models.pyramid_tracker import PyramidTracker

ACCURACY = Path(__file__).parents[2] / "benchmarks" / "accuracy"
CHOSEN = {
    LucasKanade: json.loads((ACCURACY / "settings.json").read_text())["lucas_kanade"],
    LucasKanade3d: json.loads((ACCURACY / "settings_volumes.json").read_text()),
}


@pytest.mark.parametrize("model", CHOSEN)
def test_defaults_are_the_searched_settings(model: type[PyramidTracker]) -> None:
    chosen = CHOSEN[model]
    assert chosen
    parameters = inspect.signature(model).parameters
    for name, value in chosen.items():
        default = parameters[name].default
        assert (list(default) if isinstance(default, tuple) else default) == value
