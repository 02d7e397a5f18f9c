"""What `cineflow._C` refuses, before any work: every op, every tensor, every rule.

Each test spoils one thing of a good call.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cineflow import _C
from cineflow.errors import ArgumentError
from tests.core.cuda_backend import DeviceArray
from tests.op_calls import ROWS, Call, make_call


@dataclass(frozen=True)
class Good:
    """A good call of one function, to be spoilt in one way.

    Attributes:
        call: The call, on images [2, 3, 5, 7] or volumes, and a result of that size where it is
            free.
        shapes: Of its tensors, in the order of the arguments; the last one is written.
    """

    call: Call
    shapes: dict[str, tuple[int, ...]]

    def arrays(self) -> dict[str, Any]:
        return {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}

    def types(self, name: str) -> tuple[str, ...]:
        """Storage types of a tensor."""
        return self.call.op.result if name == "out" else self.call.op.tensors[name]

    def run(self, arrays: dict[str, Any], **options: Any) -> None:
        getattr(_C, self.call.op.function)(
            **arrays, **(self.call.op.kernel(self.call.options) | options)
        )


def good(op: Good) -> Good:
    """The call, with a window, a grid and centres of its own size."""
    small = {"radius": 1, "rows": 5, "columns": 7, "shared": False}
    options = op.typical | {name: small[name] for name in small if name in op.typical}
    call = make_call(op, options, shape=(2, 3, 5, 7))
    shapes = {name: values.shape for name, values in call.inputs.items()}
    return Good(call, shapes | {"out": call.shape})


CALLS = {name: good(op) for name, op in ROWS.items()}
#: Ops that take images and volumes: the rank of the first tensor decides.
EITHER = {op.name for op in ROWS.values() if op.dimensions == 3}
EACH_OP = pytest.mark.parametrize("op", CALLS.values(), ids=CALLS)


def each_tensor(*without: str) -> pytest.MarkDecorator:
    """Every tensor of every op, except `without`."""
    chosen = [
        pytest.param(op, name, id=f"{label}-{name}")
        for label, op in CALLS.items()
        for name in op.shapes
        if name not in without
    ]
    return pytest.mark.parametrize(("op", "name"), chosen)


def refused(op: Good, wanted: str, **changes: Any) -> None:
    """Assert that the call with other arrays raises `wanted` and writes nothing."""
    arrays = {**op.arrays(), **changes}
    out = arrays["out"]
    if isinstance(out, np.ndarray) and out.flags.writeable:
        out[...] = 7
    with pytest.raises(ArgumentError, match=wanted):
        op.run(arrays)
    if isinstance(out, np.ndarray) and out.flags.writeable:
        assert (out == 7).all()


@EACH_OP
def test_the_call_is_good_before_it_is_spoilt(op: Good) -> None:
    op.run(op.arrays())


@each_tensor()
def test_a_wrong_rank(op: Good, name: str) -> None:
    shape = op.shapes[name]
    first, second = list(op.shapes)[:2]
    for wrong in (shape[1:], (*shape, 1)):
        rank = len(wrong)
        wanted = f"wanted {name} of rank {len(shape)}; got {name} of rank {rank}"
        if name == first and op.call.op.name in EITHER:
            # An image among volumes, or a volume among images, is told by the next tensor.
            other = len(op.shapes[second])
            wanted = f"wanted {second} of rank {rank}; got {second} of rank {other}"
            if rank not in (4, 5):
                wanted = f"wanted {name} of rank 4 or 5; got {name} of rank {rank}"
        refused(op, wanted, **{name: np.zeros(wrong, np.float32)})
    refused(op, f"wanted {name} of rank 6 at most", **{name: np.zeros((1,) * 7, np.float32)})


@each_tensor()
def test_a_wrong_type(op: Good, name: str) -> None:
    shape = op.shapes[name]
    refused(op, f"wanted {name} of float32, float16, .* got float64", **{name: np.zeros(shape)})
    refused(op, f"wanted {name} of float32, float16, .* got int32", **{name: np.zeros(shape, "i4")})
    swapped = np.zeros(shape, np.dtype(np.float32).newbyteorder())
    refused(op, f"wanted {name} of float32, float16, .* got >f4", **{name: swapped})
    refused(op, f"wanted {name} as a NumPy, torch or CuPy array; got list", **{name: [1.0]})
    for wrong in {"float16", "uint8"} - set(op.types(name)):
        wanted = rf"wanted {name} of dtype float32.*; got {wrong}"
        refused(op, wanted, **{name: np.zeros(shape, wrong)})


@EACH_OP
def test_a_tensor_on_another_device(op: Good) -> None:
    """The first tensor says where; that it lies on a GPU is test_cuda_kernels.py's to test."""
    _, *others = op.shapes
    for name in others:
        elsewhere = DeviceArray(np.zeros(op.shapes[name], np.float32))
        refused(op, f"wanted every tensor on cpu; got {name} on cuda", **{name: elsewhere})


@each_tensor()
def test_a_wrong_size_along_any_axis(op: Good, name: str) -> None:
    shape = op.shapes[name]
    for axis, size in enumerate(shape):
        if axis > 1 and name in op.call.op.any_size:
            continue
        wrong = np.zeros((*shape[:axis], size + 1, *shape[axis + 1 :]), np.float32)
        refused(op, r"wanted \w+ with \d+ \(.*\) along axis \d; got \d+", **{name: wrong})


@each_tensor("centre")
def test_planes_that_int32_does_not_hold(op: Good, name: str) -> None:
    shape, few = op.shapes[name], np.zeros(8, np.float32)
    # 4 rows apart by 2^29 elements: the last one begins at 2^31. Nothing is read or written there.
    # In a volume, 4 rows apart in each of 3 slices.
    still = [0] * (len(shape) - 2)
    far = np.lib.stride_tricks.as_strided(few, shape, (*still, 4 * 2**29, 4))
    what = "volumes" if len(shape) == 5 else "planes"
    with pytest.raises(ArgumentError, match=f"wanted {name} with {what} of fewer than 2147483648"):
        op.run({**op.arrays(), name: far})


@pytest.mark.parametrize(("axes", "what"), [(2, "plane"), (3, "volume")])
def test_the_largest_plane_and_one_element_more(axes: int, what: str) -> None:
    """Of no images, so that nothing is read. The first side decides: rows, or slices."""
    one = (1,) * (axes - 1)
    flow, out = np.zeros((0, axes, 1, *one), np.float32), np.zeros((0, 1, 1, *one), np.float32)
    for elements, fits in ((2**31 - 1, True), (2**31, False)):
        shape = (0, 1, 2, *one[1:], 2)
        steps = (0, 0, 4 * (elements - 2), *[0] * (axes - 2), 4)
        src = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, steps)
        if fits:
            _C.warp(src, flow, out, False)
            continue
        with pytest.raises(ArgumentError, match=f"got a {what} that spans {elements}"):
            _C.warp(src, flow, out, False)


@EACH_OP
def test_sides_that_f32_does_not_count(op: Good) -> None:
    name, shape = next(iter(op.shapes.items()))
    wide = np.broadcast_to(np.float32(0), (*shape[:-1], 2**24))
    with pytest.raises(ArgumentError, match=r"with sides below 16777216|along axis [34]"):
        op.run({**op.arrays(), name: wide})


@each_tensor("out")
def test_an_output_in_the_memory_of_an_input(op: Good, name: str) -> None:
    memory = np.zeros(16384, np.float32)
    first = memory[: np.prod(op.shapes[name])].reshape(op.shapes[name])
    size = int(np.prod(op.shapes["out"]))
    out = memory[first.size - 1 :][:size].reshape(op.shapes["out"])
    wanted = f"wanted out that overlaps no input; got out overlapping {name}"
    refused(op, wanted, **{name: first, "out": out})
    # One element further on, and backwards, it is apart.
    out = memory[first.size :][:size].reshape(op.shapes["out"])[..., ::-1]
    op.run({**op.arrays(), name: first, "out": out})


@EACH_OP
def test_an_output_that_overlaps_itself_or_may_not_be_written(op: Good) -> None:
    shape = op.shapes["out"]
    memory = np.zeros(16384, np.float32)
    rows = [4] * (len(shape) - 2)
    folded = np.lib.stride_tricks.as_strided(memory, shape, (*rows, 4 * shape[-1], 4))
    refused(op, "wanted out whose elements do not overlap one another; got stride", out=folded)
    fixed = np.zeros(shape, np.float32)
    fixed.flags.writeable = False
    refused(op, "wanted out that may be written; got a read-only array", out=fixed)


@EACH_OP
def test_strides_of_broken_elements(op: Good) -> None:
    kind = np.dtype([("value", "f4"), ("flag", "u1")])
    for name, shape in op.shapes.items():
        packed = np.zeros(shape, kind)["value"]
        wanted = rf"wanted {name} with strides of whole elements; got \d+ bytes along axis \d"
        refused(op, wanted, **{name: packed})


@EACH_OP
def test_an_address_between_elements(op: Good) -> None:
    for name, shape in op.shapes.items():
        memory = np.zeros(4 * math.prod(shape) + 1, np.uint8)
        between = memory[1:].view(np.float32).reshape(shape)
        wanted = rf"wanted {name} aligned to its elements, such as a copy; got an address 1 "
        refused(op, wanted, **{name: between})


@pytest.mark.parametrize("name", ["correlation", "polar_resample"])
@pytest.mark.parametrize("scale", [math.nan, math.inf, 1e300])
def test_a_scale_that_f32_does_not_hold(name: str, scale: float) -> None:
    op = CALLS[name]
    wanted = r"wanted scale in -3\.40282e\+38\.\.3\.40282e\+38; got (nan|inf)"
    with pytest.raises(ArgumentError, match=wanted):
        op.run(op.arrays(), scale=scale)


def threads_of_this_process() -> int:
    return len(os.listdir("/proc/self/task"))


def test_the_threads_of_an_old_pool_end() -> None:
    count, before = _C.thread_count(), threads_of_this_process()
    try:
        for threads in range(20):
            _C.set_thread_count(2 + threads % 4)
        assert threads_of_this_process() <= before + 5
        if (child := os.fork()) == 0:  # a child has no threads of its parent's pool
            _C.set_thread_count(3)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        _C.set_thread_count(count)


def test_other_threads_run_while_a_kernel_does() -> None:
    """A ticking thread needs the GIL for every tick. Python itself would switch after 100 s."""
    features = np.zeros((1, 64, 112, 112), np.float32)
    out = np.zeros((1, 21 * 21, 112, 112), np.float32)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticking = threading.Thread(target=tick)
    interval, threads = sys.getswitchinterval(), _C.thread_count()
    ticking.start()
    try:
        sys.setswitchinterval(100)
        _C.set_thread_count(1)
        start = time.perf_counter()
        while (end := time.perf_counter()) < start + 0.2:
            _C.correlation(features, features, None, out, 10, 1, 1.0, False, False)
    finally:
        sys.setswitchinterval(interval)
        _C.set_thread_count(threads)
        done.set()
        ticking.join()
    assert sum(start < at < end for at in ticks) > 2
