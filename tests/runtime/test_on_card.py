"""A stream whose flow stays on a card: what is read off it, and what leaves the card when.

The card is a stand-in whose memory NumPy cannot read. Our kernels run there under the CUDA shim,
and the engine is TensorRT's, or one that runs its own step in the same series of launches.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu.serving import check_readings
from cineflow import _C
from cineflow.errors import ArgumentError, DeviceLostError, EngineError
from cineflow.ops import compose_flow, warp
from cineflow.ops.held import Held, Shelf, stays
from cineflow.runtime.feed import FrameFeed, place
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream
from cineflow.served import Codec, Result
from cineflow.spec import Feed, TensorSpec
from cineflow.spec.feed import FrameLayout
from tests.runtime.on_card import FIELD, FINITE, SAMPLES, SIZE, STATISTICS, PulseOnCard, frame, same
from tests.runtime.test_stream_beats import SPEC, Pulse
from tests.stand_ins.unreadable import STREAM, Card


@pytest.fixture
def card(unreadable: Card) -> Card:
    """In place of the card whose memory NumPy reads."""
    return unreadable


def test_every_reading_is_that_of_host_memory(card: Card) -> None:
    """Up to a beat that is found in the motion, and a trigger after it."""
    here, there = Stream(PulseOnCard(card), SPEC), Stream(Pulse(), SPEC)
    beats = 0
    for k in range(76):
        beat = True if k == 74 else None
        found, wanted = (s.push(frame(k), beat=beat) for s in (here, there))
        same(found, wanted)
        beats = found.beat_info.number
    assert beats == 2
    assert found.reference == 74
    assert card.shim.cuda_shim_stream() == STREAM


def test_what_leaves_the_card_with_a_frame(card: Card) -> None:
    """The statistics of the blocks, one number, and nothing more unless it is read."""
    stream = Stream(PulseOnCard(card), SPEC)
    for k in range(6):
        card.fetched_bytes.clear()
        card.sent.clear()
        result = stream.push(frame(k))
        if k > 0:
            assert card.fetched_bytes == [FINITE, STATISTICS]
        if k > 1:
            assert card.sent == [frame(k).nbytes], "the frame as it came, once"
    card.fetched_bytes.clear()
    assert result.displacement.shape == (2, *SIZE)
    assert result.outputs["flow"].values.shape == (2, *SIZE)
    assert result.flow is result.outputs["flow"].values
    assert card.fetched_bytes == [FIELD, FIELD], "each of them once"


@pytest.mark.parametrize("kinds", [(np.uint8,), (np.float32, np.uint8)], ids=len)
@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({}, "float32"),
        ({"channels": 3, "channel_axis": 2, "scale": 1 / 255, "offset": -0.5}, "float32"),
        ({"scale": 1 / 255}, "float16"),
        ({"scale": 1.7, "offset": -20.0}, "uint8"),
    ],
    ids=str,
)
def test_an_input_made_on_the_card_has_the_same_bits(
    card: Card, kinds: tuple[Any, ...], changes: dict[str, Any], dtype: str
) -> None:
    """Frames as they came, or one of them from a state: f32 in host memory."""
    engine = PulseOnCard(card)
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, SIZE).astype(kind) for kind in kinds]
    there = [Held(engine.card.put(one), engine.card) if one.dtype == np.uint8 else one
             for one in frames]  # fmt: skip
    plain = FrameLayout(5, 1, None, 1, SIZE, 1.0, 0.0)
    layout = dataclasses.replace(plain, **changes)
    found = place(there, layout, dtype)
    wanted = place([one.astype(np.float32) for one in frames], layout, dtype)
    assert stays(found)
    assert found.dtype == wanted.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


def test_a_model_of_one_frame_sees_it_from_the_card(card: Card) -> None:
    """Its flow is from a memory of its own."""
    spec = dataclasses.replace(
        SPEC,
        inputs=SPEC.inputs[1:],
        states=(TensorSpec("past", "float32", (1, 1, *SPEC.inputs[0].shape[2:]), "grey level"),),
        feed=Feed("frame", ("current",)),
    )
    feed = FrameFeed(spec)
    engine = PulseOnCard(card)
    there = Held(engine.card.put(frame(3)), engine.card)
    image = feed.checked(frame(3), None)
    found, after, _ = feed.inputs(None, image, False, there)
    wanted, _, _ = feed.inputs(None, image, False)
    assert stays(found["current"])
    assert after.last is image
    np.testing.assert_array_equal(found["current"], wanted["current"])


def test_the_way_back_leaves_one_displacement_for_each_block(card: Card) -> None:
    stream = Stream(PulseOnCard(card), SPEC)
    for k in range(4):
        stream.push(frame(k), beat=False)
    card.fetched_bytes.clear()
    stream.push(frame(4), beat=True)
    assert card.fetched_bytes == [FINITE, STATISTICS, SAMPLES]


def test_a_server_fetches_what_a_client_wants(card: Card) -> None:
    stream = Stream(PulseOnCard(card), SPEC)
    codec = Codec(stream._served)
    for wanted, fields in ((("quality_parts",), 0), (("displacement",), 1), (None, 2)):
        stream.push(frame(0))
        result = stream.push(frame(1))
        card.fetched_bytes.clear()
        arrays = codec.encode(result, wanted)
        assert card.fetched_bytes == [FIELD] * fields
        assert all(type(one) is np.ndarray for one in arrays.values())


def test_the_state_is_taken_out_and_put_back(card: Card) -> None:
    engine = PulseOnCard(card)
    stream, whole = Stream(engine, SPEC), Stream(engine, SPEC)
    for k in range(6):
        stream.push(frame(k))
        whole.push(frame(k))
    state = stream.state()
    card.fetched_bytes.clear()
    data = state_to_bytes(state)
    assert card.fetched_bytes == [FIELD], "the displacement"
    assert state_to_bytes(state) == data
    assert card.fetched_bytes == [FIELD]
    on_cpu = Stream(Pulse(), SPEC, state_from_bytes(data))
    copied = copy.deepcopy(state)
    assert type(copied.track.displacement) is np.ndarray
    others = [
        Stream(engine, SPEC, state_from_bytes(data)),
        Stream(engine, SPEC, state),
        Stream(PulseOnCard(card), SPEC, state),
        Stream(engine, SPEC, copied),
    ]
    for k in range(6, 10):
        wanted = whole.push(frame(k))
        for other in others:
            found = other.push(frame(k))
            np.testing.assert_array_equal(found.displacement, wanted.displacement)
            assert found.quality_parts == wanted.quality_parts
        same(wanted, on_cpu.push(frame(k)))


def test_results_that_nobody_reads_do_not_fill_the_card(card: Card) -> None:
    """Old ones move to host memory, and streams go on from there."""
    engine = PulseOnCard(card, memory_bytes=40 * FIELD)
    idle, there = Stream(engine, SPEC), Stream(Pulse(), SPEC)
    idle.push(frame(0))
    idle.push(frame(1))
    stream = Stream(engine, SPEC)
    results = [stream.push(frame(k)) for k in range(16)]
    on_card = [v for r in results for v in map(vars(r).get, ("flow", "displacement")) if stays(v)]
    room = sum(one.nbytes for one in on_card if one._value is not None)
    assert 0 < room <= 10 * FIELD
    for k, result in enumerate(results):
        same(result, there.push(frame(k)))
    other = Stream(Pulse(), SPEC)
    for k in range(2):
        other.push(frame(k))
    same(idle.push(frame(2)), other.push(frame(2)))


def test_a_backward_run_goes_through_host_memory(card: Card) -> None:
    stream = Stream(PulseOnCard(card), SPEC, backward=True)
    for k in range(3):
        result = stream.push(frame(k))
    assert type(result) is Result
    assert result.quality_parts.forward_backward_px is not None


def test_a_strain_fetches_the_displacement(card: Card) -> None:
    here, there = (
        Stream(engine, SPEC, readings=("strain",)) for engine in (PulseOnCard(card), Pulse())
    )
    for k in range(4):
        card.fetched_bytes.clear()
        found, wanted = here.push(frame(k)), there.push(frame(k))
    assert card.fetched_bytes == [FINITE, STATISTICS, FIELD]
    np.testing.assert_allclose(found.strain, wanted.strain, atol=1e-5)


def test_a_flow_that_is_not_finite_is_refused(card: Card) -> None:
    engine = PulseOnCard(card)
    stream = Stream(engine, SPEC)
    stream.push(frame(0))
    stream.push(frame(1))
    before = stream.state()
    infinite = {"flow": np.full((1, 2, *SIZE), np.inf, np.float32)}
    step = engine.card._steps[0].pulse
    step.run = lambda inputs: infinite
    with pytest.raises(EngineError, match="a finite flow"):
        stream.push(frame(2))
    assert stream.state() is before
    del step.run
    assert stream.push(frame(2)).current == 2


def test_a_lost_card_is_one_also_between_our_kernels(card: Card) -> None:
    stream = Stream(PulseOnCard(card), SPEC)
    stream.push(frame(0))
    result = stream.push(frame(1))
    card.lost = 700
    with pytest.raises(DeviceLostError):
        np.asarray(result.displacement)


@pytest.mark.parametrize(
    ("change", "on_card"),
    [
        ({}, True),
        ({"unit": "normalised"}, False),
        ({"dtype": "float16"}, False),
        ({"components": ("y", "x")}, False),
    ],
    ids=str,
)
def test_a_flow_that_has_to_be_converted_comes_to_host_memory(
    card: Card, change: dict[str, Any], on_card: bool
) -> None:
    flow = dataclasses.replace(SPEC.outputs[0], **change)
    spec = dataclasses.replace(SPEC, outputs=(flow,))
    assert (Stream(PulseOnCard(card), spec)._card is not None) == on_card


def test_the_comparison_for_a_real_card(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """`benchmarks/gpu_check.sh` runs it there."""
    bundle: Any = SimpleNamespace(spec=SPEC)
    frames = [frame(k) for k in range(5)]
    figures = check_readings(PulseOnCard(card), bundle, frames)
    assert sorted(figures) == ["readings_on_card_ms", "readings_on_host_ms"]
    real = _C.compose_flow

    def here_only(u: Any, flow: Any, out: Any, *more: Any) -> None:
        if isinstance(out, np.ndarray):
            real(u, flow, out, *more)

    monkeypatch.setattr(_C, "compose_flow", here_only)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_readings(PulseOnCard(card), bundle, frames)


# --- arrays that are held -------------------------------------------------------------------------


def test_an_op_runs_where_its_arrays_are(card: Card) -> None:
    engine = PulseOnCard(card)
    rng = np.random.default_rng(0)
    u, flow = rng.normal(0, 2, (2, 1, 2, 20, 24)).astype(np.float32)
    held = Held(engine.card.put(flow), engine.card)
    found = compose_flow(u, held, border="clamp")
    assert stays(found)
    assert (found.shape, found.ndim, len(found), found.dtype) == (u.shape, 4, 1, np.float32)
    assert card.fetched_bytes == []
    np.testing.assert_allclose(found, compose_flow(u, flow, border="clamp"), atol=1e-5)
    np.testing.assert_array_equal(np.asarray(found[0, :, ::4]), np.asarray(found)[0, :, ::4])
    image = rng.uniform(0, 255, (1, 1, 20, 24)).astype(np.float32)
    other = Held(PulseOnCard(card).card.put(image), PulseOnCard(card).card)
    np.testing.assert_allclose(warp(other, held), warp(image, flow), atol=1e-3)
    with pytest.raises(ArgumentError, match="no out for warp"):
        warp(image, held, out=np.empty_like(image))
    with pytest.raises(ArgumentError, match="or in host memory; got list"):
        warp([1.0], held)


def test_a_shelf_forgets_what_nobody_has(card: Card) -> None:
    engine = PulseOnCard(card)
    engine.card.shelf = Shelf(3 * 400)
    values = np.arange(100, dtype=np.float32)

    def hold() -> Held:
        return Held(engine.card.put(values), engine.card)

    for _ in range(10):
        hold()
    kept = [hold() for _ in range(2)]
    gc.collect()
    hold()
    assert card.fetched_bytes == []
    kept += [hold() for _ in range(3)]
    assert [one._value is None for one in kept] == [True, True, False, False, False]
    assert card.fetched_bytes == [400, 400]
    for one in kept:
        np.testing.assert_array_equal(one, values)
    assert np.array(kept[0], np.float64).dtype == np.float64
    kept[0].__array__()[...]  # the same array again
    assert card.fetched_bytes == [400] * 5
