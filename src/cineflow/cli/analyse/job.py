"""The offline job for one clip: track and measure. Nothing here writes a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import cineflow
from cineflow.cine import Cine, VolumeCine
from cineflow.cli.analyse.follow import PointFollower
from cineflow.cli.analyse.wall_file import Drawn
from cineflow.cli.collect import Collected, Collector
from cineflow.cli.pacing import Source, closure_of, prepare, shown_clip
from cineflow.cli.windows import past_the_end
from cineflow.errors import ArgumentError
from cineflow.motion import ventricle
from cineflow.motion.clip_beats import (
    BY_R_WAVES,
    BY_USER,
    ClipBeats,
    beats_of_clip,
    require_phases,
)
from cineflow.motion.lines import WallLines, steps_of, tissue
from cineflow.motion.phases import Phases, find_phases
from cineflow.motion.strain import Convention
from cineflow.motion.strain_curves import StrainCurves, measure_lines
from cineflow.motion.strain_error import accumulated_px
from cineflow.report import Closure, Provenance
from cineflow.report.curves import BY_LVID, Curves, Followed, curves_of
from cineflow.report.points import tissue_mask, tissue_voxels
from cineflow.runtime import Bundle, Engine, open_engine
from cineflow.runtime.ahead import running_ahead, runs_are_independent
from cineflow.runtime.selection import describe_engine
from cineflow.runtime.stream import Stream
from cineflow.spec import Role

#: Called with (frames done, frames in all) of the clip.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Model:
    """A bundle that is open in this process.

    Attributes:
        bundle: The model.
        engine: What runs it.
        workers: Runs of the engine at once, where one does not need the other's result.
    """

    bundle: Bundle
    engine: Engine
    workers: int = 1

    @property
    def served_name(self) -> str:
        """Its name, with the hash of its graph."""
        return self.bundle.served_name

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its spec in JSON form."""
        spec: Mapping[str, Any] = self.bundle.manifest["spec"]
        return spec


def open_model(name: str, cpus: int | None = None) -> Model:
    """Open a bundle so that one clip after the other keeps the CPUs busy.

    Args:
        name: A built-in bundle, or a bundle's folder.
        cpus: How many CPUs; None for all that this process may use.

    Raises:
        CineflowError: As `Bundle.load` and `open_engine`.
    """
    bundle = Bundle.load(name)
    count = cpus or len(os.sched_getaffinity(0))
    # Two runs with a thread each keep two cores busier than one run with two threads.
    threads = 1 if runs_are_independent(bundle.spec) else cpus
    return Model(bundle, open_engine(bundle, threads), count)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was measured in one clip.

    Attributes:
        cine: The clip in its own pixels, with notes; of volumes, the middle slice.
        source: The clip as the model saw it.
        collected: What the model gave.
        drawn: What the user drew.
        strain: Strain of the wall; None without one, and `no_strain` says why.
        no_strain: Why there is no strain; "" otherwise.
        ventricle: Curves of a long axis whose four points the user gave; None otherwise.
        landmarks: Those four points at every frame, f64 [T, 4, 2] px of the clip; None otherwise.
        closure: Loop closure over one beat.
        provenance: What computed it.
    """

    cine: Cine
    source: Source
    collected: Collected
    drawn: Drawn
    strain: StrainCurves | None
    no_strain: str
    ventricle: Curves | None
    landmarks: np.ndarray | None
    closure: Closure
    provenance: Provenance


def analyse_clip(
    clip: Cine | VolumeCine,
    model: Model,
    drawn: Drawn,
    *,
    given: Path | None = None,
    fields: bool = False,
    convention: Convention = "lagrangian",
    progress: Progress = lambda done, total: None,
) -> Analysis:
    """Track one clip and measure it.

    Args:
        clip: The clip.
        model: Runs in this process.
        drawn: What the user drew in it.
        given: A .npz file with the model's further inputs.
        fields: Whether to keep every array of every frame.
        convention: Of the strain.
        progress: Called after each frame.

    Raises:
        CineflowError: The clip does not fit the model or what was drawn.
    """
    # The dense motion is written on the grid that the model saw, so that has to be the clip's.
    source = prepare(model, clip, given, cut=not fields)
    cine, geometry = source.cine, source.geometry
    wall, landmarks, why = _followed(clip, source, drawn)
    follower = None
    if wall is not None or landmarks is not None:
        points = wall.points if wall is not None else landmarks
        assert points is not None
        grid = geometry if source.volumes is None else source.volumes.source
        follower = PointFollower(points, drawn.frame, grid, len(cine))
    slices = () if source.volumes is None else source.volumes.slices
    collector = Collector(cine, geometry, source.spec, keep=fields, slices=slices)
    repeats: list[int] = []
    indices = [*range(len(cine)), *past_the_end(source.spec, len(cine))]
    sent = [min(index, len(cine) - 1) for index in indices]
    pushed = (source.frames[own] for own in sent)
    with running_ahead(model.engine, source.spec, pushed, model.workers) as engine:
        stream = Stream(engine, source.spec, spacing_mm=source.spacing_mm)
        for index, own in zip(indices, sent, strict=True):
            time_ms = float(cine.times_ms[own]) if own == index else None
            timed = len(indices) == len(cine)  # a stream has times for all frames or for none
            result = stream.push(
                source.frames[own],
                index,
                time_ms=time_ms if timed else None,
                given=source.given.at(own),
            )
            collector.add(result)
            if follower is not None:
                follower.add(result)
            if result.repeat and index < len(cine):
                repeats.append(index)
            progress(own + 1, len(cine))
    collected = collector.finish()
    path_px = None if follower is None else follower.path()
    strain = None
    if wall is not None:
        assert path_px is not None
        strain = _strain(path_px, wall, source, collected, drawn, convention)
    curves = None
    if landmarks is not None:
        assert path_px is not None
        curves = _long_axis(path_px, source, collected, drawn)
    return Analysis(
        cine=shown_clip(source, repeats),
        source=source,
        collected=collected,
        drawn=drawn,
        strain=strain,
        no_strain=why,
        ventricle=curves,
        landmarks=None if curves is None else path_px,
        closure=closure_of(cine, collected.trace),
        provenance=Provenance(
            model=model.served_name,
            weights=source.spec.weights.describe(),
            engine=describe_engine(model.engine),
            server="",
            transport="in process",
            software=f"cineflow {cineflow.__version__}",
            bundle_hash=model.bundle.hash,
            libraries=_libraries(),
        ),
    )


def _libraries() -> str:
    """Versions of what a result depends on."""
    import cv2

    return f"NumPy {np.__version__}, OpenCV {cv2.__version__}, Python {platform.python_version()}"


def _followed(
    clip: Cine | VolumeCine, source: Source, drawn: Drawn
) -> tuple[WallLines | None, np.ndarray | None, str]:
    """The wall or the landmarks to follow, and why there is no wall."""
    spec = source.spec
    if all(spec.output_of(role) is None for role in (Role.FLOW, Role.DISPLACEMENT)):
        what = f"{spec.name}, which gives no motion"
        if drawn.view:
            raise ArgumentError("a model of motion, to follow a wall", what)
        return None, None, f"strain is not measured for {what}"
    landmarks = None if isinstance(clip, VolumeCine) else drawn.landmarks()
    if landmarks is not None:
        return None, landmarks, "the four points of a long axis give lengths, not strain"
    wall = (
        drawn.wall_of_volumes(clip.spacing_mm)
        if isinstance(clip, VolumeCine)
        else drawn.wall(clip.spacing_mm)
    )
    if wall is not None:
        return wall, None, ""
    mask = tissue_voxels(clip) if isinstance(clip, VolumeCine) else tissue_mask(clip)
    try:
        return tissue(mask, max(3, round(min(clip.size) / 44))), None, ""
    except ArgumentError as error:
        return None, None, f"no strain: {error.got} of {error.wanted}"


def _strain(
    path: np.ndarray,
    wall: WallLines,
    source: Source,
    collected: Collected,
    drawn: Drawn,
    convention: Convention,
) -> StrainCurves:
    """Strain, with the expected errors of the frames that it was tracked through."""
    cine = source.cine
    spacing_mm = cine.spacing_mm if source.volumes is None else source.volumes.spacing_mm
    return measure_lines(
        path,
        wall,
        _beats(path, wall, spacing_mm, cine, collected, drawn),
        _expected_px(cine, collected),
        spacing_mm=spacing_mm,
        scale=float(np.mean(source.geometry.scale)),
        convention=convention,
    )


def _expected_px(cine: Cine, collected: Collected) -> np.ndarray:
    """Expected error of the pair that ends at each frame, [T]; NaN where it was not measured."""
    expected = np.full(len(cine), np.nan)
    if collected.trace is not None:
        expected = collected.trace.parts["expected_error_px"].copy()
    expected[cine.gaps] = np.inf  # what moved while frames were missing was not seen
    return expected


def _long_axis(path: np.ndarray, source: Source, collected: Collected, drawn: Drawn) -> Curves:
    """Lengths between the four points of a long axis, with their uncertainty."""
    cine = source.cine
    since = np.full(len(cine), drawn.frame)
    followed = Followed(
        drawn.frame,
        accumulated_px(_expected_px(cine, collected), since),
        float(np.mean(source.geometry.scale)),
    )

    def phases(lvid: np.ndarray) -> tuple[Phases | None, str]:
        require_phases(drawn.ed, drawn.es, len(cine))
        if drawn.ed or cine.triggers_ms is not None:
            beats = beats_of_clip(
                cine.times_ms, lvid, ed=drawn.ed, es=drawn.es, triggers_ms=cine.triggers_ms
            )
            systoles = tuple(beat.es for beat in beats.beats if beat.es is not None)
            if systoles and beats.source in (BY_USER, BY_R_WAVES):
                diastoles = tuple(beat.ed for beat in beats.beats)
                return Phases(diastoles, systoles, beats.whole), beats.source
        found = find_phases(lvid, cine.times_ms)
        if found is None or not drawn.es:
            return found, BY_LVID
        return replace(found, es=drawn.es), f"{BY_LVID}; end-systole {BY_USER}"

    points = dict(enumerate(path))
    return curves_of(cine, points, ventricle.BORDERS, followed=followed, phases=phases)


def _beats(
    path: np.ndarray,
    wall: WallLines,
    spacing_mm: tuple[float, ...] | None,
    cine: Cine,
    collected: Collected,
    drawn: Drawn,
) -> ClipBeats:
    cavity = None
    if wall.cavity.size:
        along = np.diff(path[:, wall.cavity] * steps_of(spacing_mm, path.shape[-1]), axis=1)
        cavity = np.linalg.norm(along, axis=-1).sum(axis=1)
    trace = collected.trace
    found = [] if trace is None else [one.reference for one in trace.beats if one.cause != "start"]
    return beats_of_clip(
        cine.times_ms,
        cavity,
        ed=drawn.ed,
        es=drawn.es,
        triggers_ms=cine.triggers_ms,
        found=found,
    )
