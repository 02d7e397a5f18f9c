"""The served tracker has the settings that the committed search chose."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from cineflow.models.lucas_kanade import LucasKanade

SETTINGS = Path(__file__).parents[2] / "benchmarks" / "accuracy" / "settings.json"


def test_defaults_are_the_searched_settings() -> None:
    chosen = json.loads(SETTINGS.read_text())["lucas_kanade"]
    parameters = inspect.signature(LucasKanade).parameters
    for name, value in chosen.items():
        default = parameters[name].default
        assert (list(default) if isinstance(default, tuple) else default) == value
