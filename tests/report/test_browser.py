"""The pages in a real browser: no error, every plot drawn, readable at 1280 and at 800 px."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import Cine
from cineflow.motion import FOUR_CHAMBER
from cineflow.motion.clip_beats import beats_of_clip
from cineflow.motion.lines import apical
from cineflow.motion.strain_curves import measure_lines
from cineflow.report import Closure, Provenance, Trace, write_analysis_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

#: Run in the page: what a reader would see.
MEASURE = """
<pre id="measured"></pre><script>
addEventListener("load", () => setTimeout(() => {
  const found = { small: [], covered: [], undrawn: [], figures: 0 };
  for (const figure of document.querySelectorAll("figure[data-step]")) {
    const title = figure.querySelector("b").textContent;
    if (figure.closest("details")) continue;
    found.figures += 1;
    const svg = figure.querySelector("svg[role=img]");
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const lines = [...svg.querySelectorAll(".line")];
    if (!lines.length && !svg.querySelector(".bar")) found.undrawn.push(title);
    if (lines.some((line) => !(line.getTotalLength() > 50))) found.undrawn.push(title);
    for (const text of svg.querySelectorAll("text")) {
      const size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (size < 10) found.small.push([title, text.textContent, size]);
      const box = text.getBBox();
      for (const line of lines) {
        for (let at = 0; at < line.getTotalLength(); at += 2) {
          const p = line.getPointAtLength(at);
          if (p.x > box.x && p.x < box.x + box.width && p.y > box.y && p.y < box.y + box.height) {
            found.covered.push([title, text.textContent]);
            at = Infinity;
          }
        }
      }
    }
  }
  const screen = document.getElementById("screen");
  const pixels = screen.getContext("2d").getImageData(0, 0, screen.width, screen.height).data;
  found.bright = pixels.filter((value, at) => at % 4 < 3 && value > 60).length;
  found.screen = [screen.width, screen.height];
  found.over = document.documentElement.scrollWidth - innerWidth;
  found.labels = [...document.querySelectorAll("svg text")].map((text) => text.textContent);
  document.getElementById("measured").textContent = JSON.stringify(found);
}, 1500));
</script></body>"""


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


def open_page(page: Path, width: int, *options: str) -> subprocess.CompletedProcess[str]:
    address = f"{page.resolve().as_uri()}#frame=8"
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--window-size={width},2400", "--virtual-time-budget=6000", "--enable-logging=stderr",
        f"--user-data-dir={page.parent / 'profile'}", *options, address,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def analysis(tmp_path: Path, clip: Cine, trace: Trace, provenance: Provenance) -> Path:
    """A page with strain of a wall, on a real clip."""
    contour = np.array([[110, 190], [112, 120], [140, 70], [170, 66], [200, 80], [212, 190]])
    wall = apical(contour, FOUR_CHAMBER)
    shrink = 1 - 0.15 * np.sin(np.pi * np.arange(30) / 29) ** 2
    centre = wall.points.mean(axis=0)
    path = centre + (wall.points - centre) * shrink[:, None, None]
    errors = np.full(30, 0.2)
    errors[12:15] = 0.6
    beats = beats_of_clip(clip.times_ms, None, ed=[0], es=[14])
    strain = measure_lines(path, wall, beats, errors)
    parts = {**trace.parts, "expected_error_px": errors}
    told = Trace(**{**vars(trace), "parts": parts})
    closure = Closure(None, None, "no repeated beat in the clip's 1.0 s")
    return write_analysis_report(
        tmp_path / "analysis.html", clip, told, closure, provenance, strain=strain
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("kind", ["analysis", "stream"])
def test_a_page_is_readable(kind: str, width: int, analysis: Path, write, tmp_path: Path) -> None:
    text = analysis.read_text() if kind == "analysis" else write()
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", MEASURE))
    opened = open_page(page, width, "--dump-dom")
    assert "CONSOLE" not in opened.stderr, opened.stderr
    measured = re.search(r'<pre id="measured">(.+?)</pre>', opened.stdout, re.S)
    assert measured, "the page's script did not end"
    found = json.loads(measured[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert found["figures"] >= (10 if kind == "analysis" else 3)
    assert found["undrawn"] == []
    assert found["small"] == []
    assert found["covered"] == []
    assert found["over"] <= 0, "the page is wider than the window"
    assert found["bright"] > 5000, "the cine is not drawn"
    assert "frame" in found["labels"]
    if kind == "analysis":
        assert {"ED", "ES", "%"} <= set(found["labels"])
        assert 'class="shade"' in text
    shot = tmp_path / "page.png"
    opened = open_page(page, width, f"--screenshot={shot}")
    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert picture.size == (width, 2400)
    assert pixels.std() > 20
