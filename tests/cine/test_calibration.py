"""Spacing: one or several regions in cm, regions that do not fit, and the fallback."""

from __future__ import annotations

import pytest

from cineflow.cine import read_cine

WHOLE = (0, 0, 159, 119)


def test_the_tissue_region_gives_row_then_column(drawn, write_dicom, region, sequence) -> None:
    clip = read_cine(
        write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence([region(WHOLE, (0.05, 0.04))]))
    )
    assert clip.spacing_mm == pytest.approx((0.5, 0.4))
    assert "region 1" in clip.spacing_reason


def test_the_region_that_covers_the_sector_wins(drawn, write_dicom, region, sequence) -> None:
    regions = [
        region((0, 0, 159, 8), (0.5, 0.5), kind=3),  # a spectral strip
        region((0, 0, 20, 119), (0.09, 0.09)),  # a thumbnail
        region((5, 5, 159, 119), (0.05, 0.04)),
    ]
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence(regions)))
    assert clip.spacing_mm == pytest.approx((0.5, 0.4))
    assert "region 3" in clip.spacing_reason


@pytest.mark.parametrize(
    ("corners", "options", "reason"),
    [
        ((0, 0, 319, 119), {}, "outside the 160x120 pixels"),
        ((-4, 0, 100, 100), {}, "outside"),
        ((159, 119, 0, 0), {}, "which has no area"),
        ((5, 5, 5, 5), {}, "which has no area"),
        ((0, 0, 30, 119), {}, "a different picture"),
        (WHOLE, {"unit": 4}, "none of the ultrasound regions is calibrated"),
        (WHOLE, {"kind": 2}, "none of the ultrasound regions is calibrated"),
        (WHOLE, {"cm": (0.0, 0.04)}, "none of the ultrasound regions is calibrated"),
    ],
)
def test_a_region_that_does_not_fit_is_refused_with_a_reason(
    drawn, write_dicom, region, sequence, corners, options, reason
) -> None:
    made = region(corners, **options) if corners[0] >= 0 else region((0, 0, 99, 99))
    if corners[0] < 0:  # the tag is unsigned: a negative corner arrives as a huge one
        made.RegionLocationMinX0 = 2**32 + corners[0]
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence([made])))
    assert clip.spacing_mm is None
    assert reason in clip.spacing_reason


def test_one_region_outside_invalidates_the_others(drawn, write_dicom, region, sequence) -> None:
    regions = [region(WHOLE), region((0, 0, 400, 10), kind=3)]
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence(regions)))
    assert clip.spacing_mm is None
    assert "region 2" in clip.spacing_reason


def test_a_mirrored_axis_has_a_positive_spacing(drawn, write_dicom, region, sequence) -> None:
    mirrored = sequence([region(WHOLE, (-0.05, 0.04))])
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=mirrored))
    assert clip.spacing_mm == pytest.approx((0.5, 0.4))


def test_pixel_spacing_is_the_fallback_and_without_it_lengths_are_pixels(
    drawn, write_dicom
) -> None:
    with_tag = read_cine(write_dicom(drawn[0], PixelSpacing=[0.3, 0.2]))
    assert with_tag.spacing_mm == pytest.approx((0.3, 0.2))
    assert with_tag.spacing_reason == "PixelSpacing"
    without = read_cine(write_dicom(drawn[0]))
    assert without.spacing_mm is None
    assert "no calibration" in without.spacing_reason


def test_two_planes_of_one_calibration(drawn, write_dicom, region, sequence) -> None:
    halves = [region((0, 0, 79, 119), (0.05, 0.04)), region((80, 0, 159, 119), (0.05, 0.04))]
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence(halves)))
    assert clip.spacing_mm == pytest.approx((0.5, 0.4))
    assert "regions 1 and 2" in clip.spacing_reason


def test_two_planes_of_different_calibrations_stay_in_pixels(
    drawn, write_dicom, region, sequence
) -> None:
    parts = [region((0, 0, 70, 119), (0.05, 0.04)), region((90, 0, 159, 119), (0.09, 0.04))]
    clip = read_cine(write_dicom(drawn[0], SequenceOfUltrasoundRegions=sequence(parts)))
    assert clip.spacing_mm is None
    assert "different calibrations" in clip.spacing_reason


def test_a_spacing_at_the_detector_is_not_one_in_the_body(drawn, write_dicom) -> None:
    clip = read_cine(write_dicom(drawn[0], ImagerPixelSpacing=[0.2, 0.2]))
    assert clip.spacing_mm is None
    assert "at the detector" in clip.spacing_reason


def test_pixels_that_are_not_square_become_square(drawn, write_dicom) -> None:
    clip = read_cine(write_dicom(drawn[0], PixelAspectRatio=[2, 1]))
    assert clip.frames.shape == (12, 240, 160)
    assert clip.spacing_mm is None
    assert "2 times as high as wide" in " ".join(clip.notes)
    calibrated = read_cine(write_dicom(drawn[0], PixelAspectRatio=[2, 1], PixelSpacing=[0.6, 0.3]))
    assert calibrated.frames.shape == (12, 120, 160)
    assert calibrated.spacing_mm == pytest.approx((0.6, 0.3))


@pytest.mark.parametrize("spacing", [[1e-30, 1e30], [1e-9, 1e-9], [0.001, 99.0], [500.0, 500.0]])
def test_a_spacing_that_no_picture_has_is_not_believed(drawn, write_dicom, spacing) -> None:
    """Its strain was 1e60 %."""
    clip = read_cine(write_dicom(drawn[0], PixelSpacing=spacing))
    assert clip.spacing_mm is None
    assert "PixelSpacing states" in clip.spacing_reason
    assert "not believed" in clip.spacing_reason
