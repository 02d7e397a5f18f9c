"""The report: self-contained, without the patient's identity, with the figures it was given."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import Cine
from cineflow.cine.sector import sector_box
from cineflow.errors import ArgumentError
from cineflow.motion.closure import BeatPair
from cineflow.report import Closure, Provenance, Trace, TraceRecorder
from cineflow.report.palette import brighten
from cineflow_client import LatencySummary


class References(HTMLParser):
    """Every attribute that makes a browser fetch something, and the tags that were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {k}={v}" for k, v in attrs if k in {"src", "href", "srcset"}]


def movie_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="movie">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


@pytest.fixture
def page(write: Callable[..., str]) -> str:
    page = write()
    assert len(page.encode()) < 1_500_000
    return page


def test_the_page_fetches_nothing(page: str) -> None:
    references = References()
    references.feed(page)
    assert references.fetched == []
    without_data = re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+", "", page)
    for word in ("http://", "https://", "url(", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert word not in without_data, word


def test_the_pictures_are_the_sector_and_nothing_else(page: str, clip: Cine) -> None:
    movie = movie_of(page)
    assert len(movie["frames"]) == 30
    top, bottom, left, right = sector_box(clip.sector)
    assert movie["size"] == [right - left, bottom - top]
    for index in (0, 29):
        data = base64.b64decode(movie["frames"][index].split(",")[1])
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)
        expected = brighten(clip.frames[index])[top:bottom, left:right]
        outside = ~clip.sector[top:bottom, left:right]
        assert np.abs(picture - expected).mean() < 4
        assert picture[outside].mean() < 1.5
    words = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)  # letters of a picture can spell a name
    assert "Doe" not in words
    assert "PLA" not in words


def test_text_outside_the_sector_is_blanked_even_if_the_clip_still_has_it(
    write: Callable[..., str], clip: Cine
) -> None:
    frames = clip.frames.copy()
    frames[:, 30:34, 48:110] = 255  # inside the crop, outside the sector
    page = write(cine=replace(clip, frames=frames))
    data = base64.b64decode(movie_of(page)["frames"][0].split(",")[1])
    top, _, left, _ = sector_box(clip.sector)
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert picture[30 - top : 34 - top, 48 - left : 110 - left].max() < 60


def test_the_page_says_what_is_blank_and_what_is_not(
    write: Callable[..., str], page: str, clip: Cine
) -> None:
    assert "text burned into them, are blank" in page
    assert "whole frame is shown" not in page
    page = write(cine=replace(clip, sector=np.ones(clip.size, bool)))
    assert "The whole frame is shown" in page
    assert "are blank" not in page


def test_untrained_weights_are_said_above_everything(
    write: Callable[..., str], page: str, provenance: Provenance
) -> None:
    assert "meaningless" not in page
    page = write(provenance=replace(provenance, weights="seed 3 (untrained)"))
    assert page.index("Untrained weights: outputs are meaningless") < page.index("<main>")


def test_no_axis_has_a_negative_zero(page: str) -> None:
    assert ">0</text>" in page
    assert ">-0</text>" not in page


def test_the_captions_say_what_was_measured(page: str) -> None:
    text = unescape(page)
    assert "confidence" not in text
    assert "from its expected error: 1 without error" in text
    assert "4 warm-up frames were sent before and are not counted" in text
    assert "frame 0 is the first and is not tracked" in text


def test_the_figures_are_those_of_the_stream(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Research use, not for diagnosis" in text
    assert "lucas_kanade-0123abcd" in text
    assert "triton 2.51.0" in text
    assert re.search(r"median latency 10\.2 ms", text)
    assert re.search(r"missed deadlines 1 of 30", text)
    assert re.search(r"10\.25 10\.50 38\.75 50\.50 1 ", text)  # p50, p95, p99, max, missed
    assert "80 frames/s" in text
    assert "reference frame 0 of beat 0" in text
    assert "outside the 320x240 pixels" in text
    assert "not measured, no repeated beat" in text
    assert page.count('class="bar late"') == 1


def called(name: str) -> SimpleNamespace:
    """A member of a stream's enums: only its name is read."""
    return SimpleNamespace(name=name)


def beating(clip: Cine) -> Trace:
    """Two beats, one early and one too long; unmeasured parts, and an infinite error."""
    recorder = TraceRecorder(clip)
    for index in range(len(clip)):
        reference = 0 if index < 10 else 7 if index < 20 else 20
        beat = SimpleNamespace(
            cause=called("START")
            if index < 10
            else called("MOTION")
            if index < 20
            else called("TRIGGER"),
            delay_frames=3 if 10 <= index < 20 else 0,
            rhythm=called("UNKNOWN")
            if index < 10
            else called("EARLY")
            if index < 28
            else called("LATE"),
            drift_px=1.25 if index >= 20 else None,
        )
        parts = SimpleNamespace(
            expected_error_px=np.inf if index == 9 else 0.1 + 0.01 * index,
            correlation=0.9,
            temporal_px=None if index < 2 else 0.05,
        )
        still = np.zeros((2, *clip.size), np.float32)
        number = {0: 0, 7: 1, 20: 2}[reference]
        recorder.add(still, 0.8, reference, number, parts=parts, beat_info=beat)
    return recorder.finish()


def test_the_page_names_every_beat_and_its_drift(write: Callable[..., str], clip: Cine) -> None:
    page = write(trace=beating(clip))
    section = re.search(r'<section class="beats">.*?</section>', page, re.S)
    assert section
    rows = re.findall(r"<tr><td>.*?</tr>", section[0], re.S)
    words = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(row))).strip() for row in rows]
    assert words[0] == "0 0 the stream's first frame – –"
    assert words[1].startswith("1 7 end-diastole found in the motion, 3 frames late – came more")
    assert words[2].startswith("2 20 R-wave trigger 1.25 px came more than 20 % early")
    assert words[2].endswith("lasted too long: a trigger was missed or a beat was not found")
    assert "Nothing is compensated" in section[0]
    assert page.count('<line class="beat"') == 2 * page.count("<figure") - 2  # not on latencies


def test_the_page_shows_the_expected_error_and_the_parts_that_were_measured(
    write: Callable[..., str], page: str, clip: Cine
) -> None:
    shown = write(trace=beating(clip))
    assert "Expected error per frame, px" in shown
    titles = re.findall(r"<figcaption><b>(.*?)</b>", shown)
    assert titles[-2:] == ["Correlation of the speckle", "Change of the flow, px"]
    assert "There and back" not in shown  # was not measured
    change = re.findall(r'<script type="application/json">(.*?)</script>', shown)[-1]
    assert json.loads(change)[:3] == ["–", "–", "0.05"]
    for path_data in re.findall(r'class="line" d="(.*?)"', shown):
        assert "inf" not in path_data
        assert "nan" not in path_data
    # a trace without these parts has no empty charts
    assert "Expected error" not in page
    assert "no beat was found in the motion" in page


def test_the_script_gets_the_motion(page: str, trace: Trace, clip: Cine) -> None:
    movie = movie_of(page)
    top, _, left, _ = sector_box(clip.sector)
    np.testing.assert_allclose(
        np.array(movie["points"]) + np.array([left, top]), trace.points, atol=0.01
    )
    rows, columns = np.array(movie["shown"]).shape
    steps = np.frombuffer(base64.b64decode(movie["steps"]), "<i2")
    displacement = steps.reshape(30, rows, columns, 2) * movie["step_px"]
    np.testing.assert_allclose(displacement, trace.displacement, atol=movie["step_px"] / 2)
    assert movie["full"] == 6
    assert movie["unit"] == "px"


def test_lengths_are_in_mm_where_the_clip_is_calibrated(
    write: Callable[..., str], clip: Cine
) -> None:
    calibrated = replace(clip, spacing_mm=(0.5, 0.25), spacing_reason="PixelSpacing")
    closed = Closure(2.345, BeatPair(1, 25, 0.9, (4, -1)))
    page = write(cine=calibrated, closure=closed)
    assert movie_of(page)["full"] == 1.5  # 6 px along x at 0.25 mm
    assert "wall points, mm" in page
    assert "from PixelSpacing" in page
    text = re.sub(r"\s+", " ", page)
    assert "0.8 mm" in text  # 2.345 px of 0.25 x 0.5 mm
    assert "shifts by (1.0, -0.5) mm" in text
    shown = re.sub(r"<(script|style).*?</\1>", " ", text)
    assert not re.findall(r"(?<!×)\b[\d.]+ px", shown), "one page has lengths in one unit"


def test_markup_in_a_note_is_text(write: Callable[..., str], clip: Cine) -> None:
    named = replace(clip, notes=("<script>alert(1)</script>",), name="</script><b>x")
    page = write(cine=named)
    assert "<script>alert" not in page
    assert "<b>x" not in page


def test_a_clip_without_points_still_has_a_report(write: Callable[..., str]) -> None:
    flat = np.full((30, 64, 80), 90, np.uint8)
    clip = Cine(flat, np.arange(30.0), None, "none", np.ones((64, 80), bool))
    recorder = TraceRecorder(clip)
    for _ in range(30):
        recorder.add(np.zeros((2, 64, 80), np.float32), 1.0, 0, 0)
    page = write(cine=clip, trace=recorder.finish())
    assert "Displacement of the wall points" not in page


def test_a_missing_result_is_refused(
    write: Callable[..., str], tmp_path: Path, latency: LatencySummary
) -> None:
    for each in (np.ones(29), np.ones(0)):
        with pytest.raises(ArgumentError, match=f"{len(each)} latencies"):
            write(latency=replace(latency, each_ms=each))
    with pytest.raises(ArgumentError, match="an unpaced stream"):
        write(latency=replace(latency, frame_period_ms=None))
    assert not (tmp_path / "new").exists()
