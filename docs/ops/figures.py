"""Draw the pictures of docs/ops: each op applied to the short-axis phantom.

    python docs/ops/figures.py [FOLDER]

Phantoms are easier than patients. The pictures show what an op does, not how well a model works.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from cineflow import ops
from cineflow.phantom import Beat, ShortAxisPhantom

HERE = Path(__file__).resolve().parent
RADIUS = 6  # of the correlation windows, in pixels
LATER = 3  # frames between the two correlated frames
WALL_ANGLE = 280  # of the correlated point of the wall, in degrees from x towards y
GREY: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
DIFFERENCE: dict[str, Any] = {"cmap": "RdBu", "vmin": -90, "vmax": 90}


class Scene:
    """End-diastole and end-systole of one beat, with the true motion between them.

    Attributes:
        frames: f32 [T, H, W], grey levels.
        ed, es: The two frames, [1, 1, H, W].
        motion: True flow from ED to ES on the ED grid, [1, 2, H, W] px.
        later: A frame soon after ED, [1, 1, H, W], whose speckle has changed little.
        motion_to_later: True flow from ED to `later`, [1, 2, H, W] px.
        steps: True flow of each pair from ED to ES.
        wall: Myocardium at ED, bool [H, W].
        centre: (x, y) of the ring at ED, px.
    """

    def __init__(self) -> None:
        phantom = ShortAxisPhantom(
            seed=7, size=(192, 192), beat=Beat(heart_rate_bpm=60, frame_rate_hz=25)
        )
        self.frames = phantom.frames.astype(np.float32)
        self.first, self.last = phantom.ed, phantom.es
        self.ed, self.es = (self.frames[i][None, None] for i in (self.first, self.last))
        self.motion = phantom.flow(self.first, self.last)[None]
        self.later = self.frames[self.first + LATER][None, None]
        self.motion_to_later = phantom.flow(self.first, self.first + LATER)[None]
        self.steps = [phantom.flow(i, i + 1)[None] for i in range(self.first, self.last)]
        self.wall = phantom.myocardium(self.first)
        rows, columns = np.nonzero(self.wall)
        self.centre = (float(columns.mean()), float(rows.mean()))

    def wall_point(self, degrees: float) -> tuple[int, int]:
        """The middle of the wall, (x, y), at an angle from the centre."""
        angle = np.radians(degrees)
        rays = np.arange(0, 90)
        x = np.rint(self.centre[0] + rays * np.cos(angle)).astype(int)
        y = np.rint(self.centre[1] + rays * np.sin(angle)).astype(int)
        inside = np.nonzero(self.wall[y, x])[0]
        middle = inside[len(inside) // 2]
        return int(x[middle]), int(y[middle])


def panels(titles: list[str], **options: Any) -> tuple[Any, list[Any]]:
    """A row of square pictures with titles, without ticks."""
    figure, axes = plt.subplots(
        1, len(titles), figsize=(2.5 * len(titles), 2.8), layout="constrained", **options
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, list(axes)


def warp(scene: Scene) -> Any:
    """End-systole warped back onto end-diastole by the true motion."""
    back = ops.warp(scene.es, scene.motion)
    figure, axes = panels(
        ["end-diastole", "end-systole", "end-systole, warped", "ED − ES", "ED − warped ES"]
    )
    for axis, image in zip(axes, (scene.ed, scene.es, back), strict=False):
        axis.imshow(image[0, 0], **GREY)
    axes[3].imshow((scene.ed - scene.es)[0, 0], **DIFFERENCE)
    axes[4].imshow((scene.ed - back)[0, 0], **DIFFERENCE)
    return figure


def compose_flow(scene: Scene) -> Any:
    """The wall's displacement from frame pairs: composed, and (wrongly) added."""
    composed = np.zeros_like(scene.motion)
    for step in scene.steps:
        composed = ops.compose_flow(composed, step, border="clamp")
    added = np.sum(scene.steps, axis=0)
    figure, axes = panels(["true displacement, px", "error, composed, px", "error, added, px"])
    length = np.hypot(*scene.motion[0])
    errors = [np.hypot(*(field - scene.motion)[0]) for field in (composed, added)]
    largest = float(np.nanmax(np.where(scene.wall, errors[1], np.nan)))
    for axis, values, top in zip(axes, (length, *errors), (None, largest, largest), strict=True):
        axis.imshow(scene.ed[0, 0], **GREY)
        wall = np.where(scene.wall, values, np.nan)
        picture = axis.imshow(wall, cmap="viridis", vmin=0, vmax=top)
        figure.colorbar(picture, ax=axis, shrink=0.8)
    return figure


def patches(image: np.ndarray) -> np.ndarray:
    """The 9 x 9 pixels around each pixel, as 81 features of mean 0 and length 1."""
    rows = [np.roll(image[0, 0], (-y, -x), (0, 1)) for y in range(-4, 5) for x in range(-4, 5)]
    features = np.stack(rows)[None] - np.mean(rows, axis=0)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.ascontiguousarray(features / np.maximum(length, 1e-3), np.float32)


def show_match(
    axis: Any, values: np.ndarray, point: tuple[int, int], truth: tuple[float, float]
) -> None:
    """Correlations of one pixel with its (2r + 1)^2 neighbours: + the best, o the true motion."""
    side = 2 * RADIUS + 1
    window = values[0, :, point[1], point[0]].reshape(side, side)
    extent = (-RADIUS - 0.5, RADIUS + 0.5, RADIUS + 0.5, -RADIUS - 0.5)
    axis.imshow(window, cmap="magma", extent=extent)
    best = np.unravel_index(window.argmax(), window.shape)
    axis.plot(best[1] - RADIUS, best[0] - RADIUS, "c+", markersize=12)
    axis.plot(*truth, "wo", markersize=16, fillstyle="none")
    axis.set_xticks([-RADIUS, 0, RADIUS])
    axis.set_yticks([-RADIUS, 0, RADIUS])


def mark(axis: Any, image: np.ndarray, point: tuple[int, int], window: bool = False) -> None:
    axis.imshow(image[0, 0], **GREY)
    axis.plot(*point, "w." if window else "c+", markersize=4 if window else 12)
    if window:
        corner = (point[0] - RADIUS, point[1] - RADIUS)
        axis.add_patch(plt.Rectangle(corner, 2 * RADIUS, 2 * RADIUS, fill=False, color="c"))


def correlation(scene: Scene) -> Any:
    """One pixel of end-diastole against its neighbourhood in a later frame."""
    point = scene.wall_point(WALL_ANGLE)
    volume = ops.correlation(patches(scene.ed), patches(scene.later), radius=RADIUS)
    figure, axes = panels(["f1 and its pixel p", "f2 and the window", "out[:, p]: + best, o true"])
    mark(axes[0], scene.ed, point)
    mark(axes[1], scene.later, point, window=True)
    show_match(axes[2], volume, point, tuple(scene.motion_to_later[0, :, point[1], point[0]]))
    return figure


def warp_correlation(scene: Scene) -> Any:
    """The same pixel: once the flow is known, the best neighbour is the centre."""
    point = scene.wall_point(WALL_ANGLE)
    f1, f2 = patches(scene.ed), patches(scene.later)
    figure, axes = panels(["f1 and its pixel p", "correlation", "warp_correlation"])
    mark(axes[0], scene.ed, point)
    plain = ops.correlation(f1, f2, radius=RADIUS)
    show_match(axes[1], plain, point, tuple(scene.motion_to_later[0, :, point[1], point[0]]))
    fused = ops.warp_correlation(f1, f2, scene.motion_to_later, radius=RADIUS)
    show_match(axes[2], fused, point, (0, 0))
    return figure


GRID = ops.PolarGrid(angles=192, radii=80, last_radius=80.0)


def polar_resample(scene: Scene) -> Any:
    """The ring as a band: rows are angles, columns are radii."""
    polar = ops.polar_resample(scene.ed, scene.centre, GRID)
    figure, axes = panels(["Cartesian", "polar: φ down, ρ right"])
    axes[0].imshow(scene.ed[0, 0], **GREY)
    axes[0].autoscale(False)
    for row, colour in ((0, "c"), (24, "y"), (48, "m")):
        angle = row * GRID.angle_step
        end = scene.centre + GRID.last_radius * np.array([np.cos(angle), np.sin(angle)])
        axes[0].plot(*zip(scene.centre, end, strict=True), color=colour, linewidth=1)
        axes[1].axhline(row, color=colour, linewidth=1)
    axes[1].imshow(polar[0, 0], aspect="auto", **GREY)
    return figure


def polar_unresample(scene: Scene) -> Any:
    """To polar and back: the loss by two interpolations, and beyond the last radius."""
    polar = ops.polar_resample(scene.ed, scene.centre, GRID)
    back = ops.polar_unresample(polar, scene.centre, GRID, size=scene.ed.shape[2:])
    figure, axes = panels(["polar", "back", "original − back"])
    axes[0].imshow(polar[0, 0], aspect="auto", **GREY)
    axes[1].imshow(back[0, 0], **GREY)
    axes[2].imshow((scene.ed - back)[0, 0], **DIFFERENCE)
    return figure


def scan_convert(scene: Scene) -> Any:
    """What a sector and a curved array see of the ring: their lines, converted."""
    figure, axes = panels(
        ["lines of a sector", "converted", "lines of a curved array", "converted"]
    )
    height, width = scene.ed.shape[2:]
    for left, radius, angle in ((0, 0.0, 0.65), (2, 60.0, 0.5)):
        probe = ops.ProbeGeometry(
            lines=96,
            samples=160,
            first_angle=-angle,
            last_angle=angle,
            last_depth=height - 20.0,
            face=(width / 2, 14.0),
            array_radius=radius,
        )
        lines = ops.scan_unconvert(scene.ed, probe)
        axes[left].imshow(lines[0, 0], aspect="auto", **GREY)
        axes[left + 1].imshow(ops.scan_convert(lines, probe, (height, width))[0, 0], **GREY)
    return figure


FIGURES = (
    warp,
    compose_flow,
    correlation,
    warp_correlation,
    polar_resample,
    polar_unresample,
    scan_convert,
)


def main(folder: Path) -> None:
    """Write one WebP per op."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene()
    for draw in FIGURES:
        figure = draw(scene)
        figure.savefig(folder / f"{draw.__name__}.webp", dpi=110, pil_kwargs={"quality": 80})
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "img")
