"""Effects of drop-out, clutter and noise on the picture."""

from __future__ import annotations

import numpy as np

from cineflow.phantom import Beat, Shadow, ShortAxisPhantom, Tissue

TWO = Beat(frame_rate_hz=10.0, beats=0.2)


def cine(tissue: Tissue | None = None, **scanner: object) -> ShortAxisPhantom:
    return ShortAxisPhantom(2, size=(96, 96), beat=TWO, tissue=tissue, scanner=scanner)


def test_shadow_darkens_its_lines_only() -> None:
    clear = cine().frames[0].astype(float)
    dark = cine(shadows=(Shadow(0.0, 16.0, 20.0),)).frames[0].astype(float)
    deep = slice(80, 90)
    assert (clear - dark)[deep, 46:50].mean() > 50
    assert abs((clear - dark)[deep, 10:25].mean()) < 12


def test_clutter_fills_the_near_field_and_stands_still() -> None:
    clear, haze = cine(), cine(Tissue(clutter=1.5))
    blood = (clear.tissue_map(0) == 2) & (clear.tissue_map(1) == 2)
    near = blood.copy()
    near[48:] = False
    assert haze.frames[0][near].mean() > clear.frames[0][near].mean() + 40
    alike = np.corrcoef(haze.frames[0][near], haze.frames[1][near])[0, 1]
    assert alike > 0.7 > 0.3 > np.corrcoef(clear.frames[0][near], clear.frames[1][near])[0, 1]


def test_noise_shows_in_the_blood() -> None:
    blood = cine().tissue_map(0) == 2
    levels = [cine(noise_db=db).frames[0][blood].mean() for db in (40.0, 25.0, 15.0, 5.0)]
    assert levels == sorted(levels)
    assert levels[3] > levels[1] + 40
