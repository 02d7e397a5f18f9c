"""The default tracker and its peers, with the settings that the committed search found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.accuracy.measure import Tracker

OURS = "cineflow lucas_kanade"
SETTINGS = Path(__file__).with_name("settings.json")
#: PyrLK tracks every fourth pixel. Every pixel would take half a second per pair.
_PYRLK_STEP = 4


def zero() -> Tracker:
    """The baseline: no motion."""
    return lambda previous, current: np.zeros((2, *previous.shape), np.float32)


def module(**settings: Any) -> Tracker:
    """Our tracker as a torch module with any settings; for the search only."""
    import torch

    from cineflow.models.lucas_kanade import LucasKanade

    net = LucasKanade(**settings).eval()

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        pair = [torch.from_numpy(f).float()[None, None] for f in (previous, current)]
        with torch.no_grad():
            return np.asarray(net(*pair)[0].numpy())

    return track


def bundle(name: str = "lucas_kanade", threads: int | None = 2) -> Tracker:
    """The committed graph, which is also the served one."""
    from cineflow.runtime import open_engine
    from cineflow.runtime.bundle import Bundle

    engine = open_engine(Bundle.load(name), threads=threads)

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        pair = {
            "previous": previous.astype(np.float32)[None, None],
            "current": current.astype(np.float32)[None, None],
        }
        return engine.run(pair)["flow"][0]

    return track


def dis(**settings: float) -> Tracker:
    """OpenCV DIS, starting from the medium preset."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for key, value in settings.items():
        getattr(flow, f"set{key}")(value)
    return lambda previous, current: flow.calc(previous, current, None).transpose(2, 0, 1)


def farneback(**settings: float) -> Tracker:
    """OpenCV Farneback."""
    arguments = {"pyr_scale": 0.5, "levels": 4, "iterations": 3, "flags": 0, **settings}

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        return cv2.calcOpticalFlowFarneback(previous, current, None, **arguments).transpose(2, 0, 1)

    return track


def pyrlk(window: int, levels: int, iterations: int) -> Tracker:
    """OpenCV PyrLK on a grid of every fourth pixel, enlarged bilinearly."""
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, iterations, 0.01)

    def track(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        rows, columns = previous.shape
        half = (_PYRLK_STEP - 1) / 2.0
        y, x = np.mgrid[half:rows:_PYRLK_STEP, half:columns:_PYRLK_STEP].astype(np.float32)
        points = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            previous, current, points, None,
            winSize=(window, window), maxLevel=levels, criteria=criteria, minEigThreshold=1e-6,
        )  # fmt: skip
        step = np.where(found[:, :, None] > 0, moved - points, 0.0).reshape(*x.shape, 2)
        return cv2.resize(step, (columns, rows)).transpose(2, 0, 1)

    return track


def dual_tvl1(**settings: float) -> Tracker:
    """OpenCV contrib's DualTVL1."""
    flow = cv2.optflow.DualTVL1OpticalFlow_create()
    for key, value in settings.items():
        getattr(flow, f"set{key}")(value)
    return lambda previous, current: flow.calc(previous, current, None).transpose(2, 0, 1)


FACTORIES: Mapping[str, Callable[..., Tracker]] = {
    "lucas_kanade": module,
    "OpenCV DIS": dis,
    "OpenCV Farneback": farneback,
    "OpenCV PyrLK": pyrlk,
    "OpenCV DualTVL1": dual_tvl1,
}


def installed(name: str) -> bool:
    """DualTVL1 is in opencv-contrib only."""
    return name != "OpenCV DualTVL1" or hasattr(cv2, "optflow")


def peers() -> dict[str, Tracker]:
    """Every installed peer with its searched settings, and OpenCV's fast default."""
    settings = json.loads(SETTINGS.read_text())
    found = {
        name: FACTORIES[name](**chosen)
        for name, chosen in settings.items()
        if name != "lucas_kanade" and installed(name)
    }
    return {"zero flow": zero(), **found, "OpenCV DIS (medium preset)": dis()}
