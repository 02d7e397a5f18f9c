"""Enhanced MR and series of single frames: one cine per slice, in the order of its times."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from cineflow.cine import (
    DecodeError,
    NotCineError,
    SeveralCinesError,
    SingleFrameError,
    read_cine,
    read_cines,
)

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"


def item(**fields: object) -> Dataset:
    made = Dataset()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def one(**fields: object) -> Sequence:
    return Sequence([item(**fields)])


def pictures(slices: int, phases: int) -> np.ndarray:
    """Noise [slices * phases, 48, 64] whose first pixel tells slice and phase."""
    frames = np.random.default_rng(1).integers(0, 256, (slices, phases, 48, 64))
    frames[:, :, 0, 1:3] = 0, 255
    for at in np.ndindex(slices, phases):
        frames[(*at, 0, 0)] = 10 * at[0] + at[1] + 1
    return frames.reshape(-1, 48, 64).astype(np.uint16)


def groups(slices: int, phases: int, order: np.ndarray, **time: object) -> dict[str, object]:
    frames = []
    for index in order:
        z, phase = divmod(int(index), phases)
        frames.append(
            item(
                FrameContentSequence=one(StackID="1", InStackPositionNumber=z + 1),
                PlanePositionSequence=one(ImagePositionPatient=[0.0, 0.0, 8.0 * z]),
                CardiacSynchronizationSequence=one(
                    NominalCardiacTriggerDelayTime=10.0 + 45.0 * phase, RRIntervalTimeNominal=800.0
                ),
            )
        )
    shared = item(
        PixelMeasuresSequence=one(PixelSpacing=[0.7, 0.9]),
        PlaneOrientationSequence=one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    return {
        "SOPClassUID": ENHANCED_MR,
        "FrameTime": None,
        "FrameIncrementPointer": None,
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PerFrameFunctionalGroupsSequence": Sequence(frames),
    }


def test_one_slice_in_shuffled_phases(write_dicom) -> None:
    frames, order = pictures(1, 6), np.random.default_rng(0).permutation(6)
    clip = read_cine(write_dicom(frames[order], **groups(1, 6, order)))
    np.testing.assert_array_equal(clip.frames, frames)
    np.testing.assert_allclose(clip.times_ms, 45.0 * np.arange(6))
    assert clip.spacing_mm == pytest.approx((0.7, 0.9))
    assert "PixelMeasuresSequence" in clip.spacing_reason
    assert clip.triggers_ms == pytest.approx([-10.0, 790.0])


def test_several_slices_are_several_cines(write_dicom) -> None:
    frames, order = pictures(3, 4), np.random.default_rng(0).permutation(12)
    path = write_dicom(frames[order], **groups(3, 4, order))
    cines = read_cines(path)
    assert len(cines) == 3
    for index, cine in enumerate(cines):
        np.testing.assert_array_equal(cine.frames, frames[4 * index : 4 * index + 4])
        assert f"slice {index + 1} of 3, at {8.0 * index:.1f} mm" in " ".join(cine.notes)
    np.testing.assert_array_equal(read_cine(path, part=1).frames, cines[1].frames)
    with pytest.raises(SeveralCinesError, match="part 0 to 2"):
        read_cine(path)
    with pytest.raises(SeveralCinesError, match="part 3"):
        read_cine(path, part=3)


def test_a_stack_at_one_time_is_no_cine(write_dicom) -> None:
    order = np.arange(4)
    with pytest.raises(NotCineError, match="a stack of 4 slices"):
        read_cine(write_dicom(pictures(4, 1), **groups(4, 1, order)))


def test_frames_that_share_a_time_are_no_cine(write_dicom) -> None:
    tags = groups(1, 4, np.array([0, 1, 1, 2]))
    with pytest.raises(NotCineError, match="share a time"):
        read_cine(write_dicom(pictures(1, 4), **tags))


def test_times_by_temporal_position(write_dicom) -> None:
    tags = groups(1, 4, np.arange(4))
    for index, frame in enumerate(tags["PerFrameFunctionalGroupsSequence"]):
        del frame.CardiacSynchronizationSequence
        frame.TemporalPositionSequence = one(TemporalPositionTimeOffset=0.03 * index)
    clip = read_cine(write_dicom(pictures(1, 4), **tags))
    np.testing.assert_allclose(clip.times_ms, 30.0 * np.arange(4))
    assert clip.triggers_ms is None


def test_frames_in_order_without_times_say_so(write_dicom) -> None:
    """Without an order either, they may be averages or echoes of one moment."""
    tags = groups(1, 4, np.arange(4))
    for frame in tags["PerFrameFunctionalGroupsSequence"]:
        del frame.CardiacSynchronizationSequence
    with pytest.raises(NotCineError, match="nothing says when or in which order"):
        read_cine(write_dicom(pictures(1, 4), **tags))
    for place, frame in enumerate(tags["PerFrameFunctionalGroupsSequence"]):
        frame.FrameContentSequence[0].TemporalPositionIndex = 4 - place
    clip = read_cine(write_dicom(pictures(1, 4), **tags))
    assert "30 Hz was assumed" in " ".join(clip.notes)
    assert clip.stored_at.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("uid", [MR, "1.2.840.10008.5.1.4.1.1.7.2", "1.3.46.670589.11.0.0.12.2"])
def test_functional_groups_count_in_objects_of_every_class(write_dicom, uid: str) -> None:
    """A secondary capture, or a vendor's own class: two slices are not one cine at 30 Hz."""
    tags = groups(2, 3, np.array([4, 1, 3, 0, 5, 2])) | {"SOPClassUID": uid}
    clips = read_cines(write_dicom(pictures(2, 3), **tags))
    assert [len(clip) for clip in clips] == [3, 3]
    assert clips[1].stored_at.tolist() == [2, 0, 4]
    np.testing.assert_allclose(np.diff(clips[0].times_ms), 45.0)
    assert clips[0].spacing_mm == (0.7, 0.9)


def test_groups_that_tell_nothing_leave_the_times_to_the_header(write_dicom) -> None:
    tags = {"PerFrameFunctionalGroupsSequence": Sequence([item() for _ in range(4)])}
    clip = read_cine(write_dicom(pictures(1, 4), **tags))
    np.testing.assert_allclose(np.diff(clip.times_ms), 20.0)


def test_frames_of_different_spacings_have_none(write_dicom) -> None:
    tags = groups(1, 4, np.arange(4))
    frame = tags["PerFrameFunctionalGroupsSequence"][2]
    frame.PixelMeasuresSequence = one(PixelSpacing=[2.0, 3.0])
    clip = read_cine(write_dicom(pictures(1, 4), **tags))
    assert clip.spacing_mm is None
    assert "different spacings" in clip.spacing_reason


def test_a_slope_of_nothing_is_refused(write_dicom) -> None:
    tags = groups(1, 4, np.arange(4))
    frame = tags["PerFrameFunctionalGroupsSequence"][2]
    frame.PixelValueTransformationSequence = one(RescaleSlope=0.0, RescaleIntercept=5.0)
    with pytest.raises(DecodeError, match="RescaleSlope of 0"):
        read_cine(write_dicom(pictures(1, 4), **tags))
    with pytest.raises(DecodeError, match="RescaleSlope of 0"):
        read_cine(write_dicom(pictures(1, 4), RescaleSlope=0.0, RescaleIntercept=5.0))


@pytest.mark.parametrize(
    "empty", [{"RescaleSlope": "", "RescaleIntercept": ""}, {"ModalityLUTSequence": []}]
)
def test_an_empty_rescaling_is_none(write_dicom, empty: dict[str, object]) -> None:
    plain = read_cine(write_dicom(pictures(1, 4)))
    assert np.array_equal(read_cine(write_dicom(pictures(1, 4), **empty)).frames, plain.frames)


@pytest.fixture
def series(tmp_path: Path, write_dicom):
    """Write single frames [N, H, W] with the tags of each into one folder."""

    def write(frames: np.ndarray, tags: list[dict[str, object]]) -> Path:
        folder = tmp_path / "series"
        folder.mkdir(exist_ok=True)
        for index, (frame, more) in enumerate(zip(frames, tags, strict=True)):
            path = write_dicom(
                frame[None],
                NumberOfFrames=None,
                FrameTime=None,
                FrameIncrementPointer=None,
                PixelSpacing=[0.7, 0.9],
                **{"SOPClassUID": MR, "SeriesInstanceUID": "1.2.3", **more},
            )
            path.rename(folder / f"I{index:04d}")
        return folder

    return write


def mr_tags(slices: int, phases: int) -> list[dict[str, object]]:
    return [
        {
            "ImagePositionPatient": [0.0, 0.0, 8.0 * z],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "TriggerTime": 45.0 * phase,
            "NominalInterval": 800,
        }
        for z in range(slices)
        for phase in range(phases)
    ]


def test_a_series_of_single_frames(series) -> None:
    frames, order = pictures(2, 5), np.random.default_rng(0).permutation(10)
    tags = mr_tags(2, 5)
    cines = read_cines(series(frames[order], [tags[index] for index in order]))
    assert len(cines) == 2
    for index, cine in enumerate(cines):
        np.testing.assert_array_equal(cine.frames, frames[5 * index : 5 * index + 5])
        np.testing.assert_allclose(cine.times_ms, 45.0 * np.arange(5))
        assert cine.spacing_mm == pytest.approx((0.7, 0.9))
        assert cine.triggers_ms == pytest.approx([0.0, 800.0])


def test_rescaling_of_its_own_in_each_frame(series) -> None:
    frames, tags = pictures(1, 4), mr_tags(1, 4)
    for index, more in enumerate(tags):
        more |= {"RescaleSlope": 2.0**index, "RescaleIntercept": 0.0}
    stored = np.stack([frame >> index for index, frame in enumerate(frames)])
    clip = read_cine(series(stored, tags))
    for index, (frame, wanted) in enumerate(zip(clip.frames, frames, strict=True)):
        assert np.abs(frame.astype(int) - (wanted >> index << index)).max() <= 1


def test_a_folder_that_is_no_cine(series, tmp_path: Path) -> None:
    frames = pictures(3, 1)
    stack = [{**tags, "SOPClassUID": CT} for tags in mr_tags(3, 1)]
    with pytest.raises(NotCineError, match="CT stack"):
        read_cine(series(frames, stack))
    with pytest.raises(NotCineError, match="a stack of 3 slices"):
        read_cine(series(frames, mr_tags(3, 1)))
    mixed = [{**tags, "SeriesInstanceUID": f"1.2.{i}"} for i, tags in enumerate(mr_tags(1, 3))]
    with pytest.raises(NotCineError, match="several series"):
        read_cine(series(frames, mixed))


def test_one_file_of_a_series_is_one_frame(series) -> None:
    folder = series(pictures(1, 2), mr_tags(1, 2))
    with pytest.raises(SingleFrameError):
        read_cine(next(iter(sorted(folder.iterdir()))))


def test_groups_that_are_missing_or_damaged(write_dicom) -> None:
    tags = groups(1, 4, np.arange(4))
    tags["PerFrameFunctionalGroupsSequence"] = Sequence([])
    with pytest.raises(NotCineError, match="without functional groups"):
        read_cine(write_dicom(pictures(1, 4), **tags))
    path = write_dicom(pictures(1, 4), **groups(1, 4, np.arange(4)))
    header = pydicom.dcmread(path)
    header.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [
        0.0,
        float("nan"),
        0.0,
    ]
    header.save_as(path)
    with pytest.raises((NotCineError, DecodeError)):
        read_cine(path)


def test_a_series_may_have_more_files_than_may_be_open(series) -> None:
    frames, tags = pictures(1, 40), mr_tags(1, 40)
    folder = series(frames, tags)
    (folder / "DICOMDIR").write_bytes((folder / "I0000").read_bytes())  # it is not a frame
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 16, hard))
    try:
        assert len(read_cine(folder)) == 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_frame_without_the_time_of_the_others_is_left_out(series, write_dicom) -> None:
    """One missing TriggerTime took the times of all: 45 ms became 30 Hz."""
    times: list[object] = [0.0, 45.0, None, 135.0, 180.0]
    tags = [{"TriggerTime": time} if time is not None else {} for time in times]
    clip = read_cine(series(pictures(1, 5), [{"SOPInstanceUID": f"1.2.{k}", **one_of}
                                             for k, one_of in enumerate(tags)]))  # fmt: skip
    assert clip.times_ms.tolist() == [0.0, 45.0, 135.0, 180.0]
    assert clip.gaps.tolist() == [2]
    assert any("1 frame was left out, without the time" in note for note in clip.notes)
    grouped = groups(1, 5, np.arange(5))
    frame = grouped["PerFrameFunctionalGroupsSequence"][2]
    frame.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime = float("nan")
    clip = read_cine(write_dicom(pictures(1, 5), **grouped))
    assert clip.times_ms.tolist() == [0.0, 45.0, 135.0, 180.0]


@pytest.mark.parametrize("jitter", [0.0, 1e-4, 2e-3])
def test_rounding_does_not_part_a_slice(series, jitter: float) -> None:
    """Positions at the edge of two roundings, or of two cells, are still of one slice."""
    for edge in (0.005, 0.5, 1.0, -1.0):
        tags = [
            {
                "SOPInstanceUID": f"1.2.{k}",
                "TriggerTime": 45.0 * k,
                "ImagePositionPatient": [0, 0, edge + jitter * (k - 2.5)],
                "ImageOrientationPatient": [1, 0, jitter * k / 4, 0, 1, 0],
            }
            for k in range(6)
        ]
        assert len(read_cine(series(pictures(1, 6), tags))) == 6


def test_a_copy_in_a_series_is_named(series) -> None:
    tags = [{"SOPInstanceUID": f"1.2.{k % 3}", "TriggerTime": 45.0 * (k % 3)} for k in range(4)]
    with pytest.raises(NotCineError, match="two files of one SOP instance"):
        read_cine(series(pictures(1, 4), tags))


def test_identity_burned_into_one_frame_of_a_series_counts(series) -> None:
    tags = [{"SOPInstanceUID": f"1.2.{k}", "TriggerTime": 45.0 * k, "Modality": "MR",
             "BurnedInAnnotation": "YES" if k == 3 else "NO"} for k in range(4)]  # fmt: skip
    clip = read_cine(series(pictures(1, 4), tags))
    assert "identity" in clip.burned_in
    assert not any("MR has no scan sector" in note for note in clip.notes)


def test_a_stack_of_thousands_of_slices_is_refused_soon() -> None:
    """Grouping compares a slice with its neighbours only."""
    from cineflow.cine.dicom.groups import Member, group_members

    members = [
        Member(
            k, (), ((), (0.0, 0.0, 0.7 * k)), 0.7 * k, 0.0, "TriggerTime", None, None, None, None
        )
        for k in range(5_000)
    ]
    with pytest.raises(NotCineError, match="a stack of 5000 slices"):
        group_members(members)
