"""Gradients of warp and correlation, half precision, and the derivatives that are refused.

The kernels take no float64, so `torch.autograd.gradcheck` runs on a function whose forward pass is
the NumPy reference in float64 and whose backward pass is the op's. The op itself, in float32, is
compared with finite differences, and with autograd through torch's own operators.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cineflow import ops, reference
from cineflow.errors import ArgumentError
from tests.op_calls import OPS, ROWS, make_call

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402

from cineflow.ops.torch_gradients import correlation_gradient, warp_gradient  # noqa: E402

BORDERS = pytest.mark.parametrize("border", ["zeros", "clamp"])


class WarpInF64(torch.autograd.Function):
    """The reference forward, the op's gradient backward."""

    @staticmethod
    def forward(ctx, src, flow, border):
        ctx.save_for_backward(src, flow)
        ctx.border = border
        return torch.from_numpy(
            reference.warp(src.detach().numpy(), flow.detach().numpy(), border=border)
        )

    @staticmethod
    def backward(ctx, grad):
        return (*warp_gradient(grad, *ctx.saved_tensors, ctx.border, (True, True)), None)


class CorrelationInF64(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f1, f2, radius, dilation, order):
        ctx.save_for_backward(f1, f2)
        ctx.options = radius, dilation, 0.3, order == "xy"
        words = {"radius": radius, "dilation": dilation, "scale": 0.3, "order": order}
        return torch.from_numpy(
            np.asarray(reference.correlation(f1.detach().numpy(), f2.detach().numpy(), **words))
        ).to(f1.dtype)

    @staticmethod
    def backward(ctx, grad):
        found = correlation_gradient(grad, *ctx.saved_tensors, *ctx.options, needs=(True, True))
        return (*found, None, None, None)


def leaf(values):
    return torch.as_tensor(np.array(values, np.float64)).requires_grad_()


def off_the_grid(rng, shape, reach):
    """Flow whose samples keep 0.1 px from whole pixels, where the derivative jumps."""
    whole = rng.integers(-reach, reach + 1, shape)
    return whole + rng.uniform(0.1, 0.9, shape)


SIZES = [
    ((4, 5), (4, 5)),
    ((3, 6), (5, 4)),
    ((1, 1), (2, 3)),
    ((3, 2, 4), (2, 3, 2)),
    ((1, 2, 1), (2, 1, 3)),
]


@BORDERS
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gradcheck_of_warp(border, size):
    """Samples inside, across each border and far outside."""
    pixels, grid = size
    rng = np.random.default_rng(0)
    src = leaf(rng.normal(size=(2, 3, *pixels)))
    flow = leaf(off_the_grid(rng, (2, len(grid), *grid), 4))
    assert torch.autograd.gradcheck(lambda *one: WarpInF64.apply(*one, border), (src, flow))


@BORDERS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_coordinates_that_are_not_finite_have_no_gradient(border, value):
    rng = np.random.default_rng(1)
    src = torch.rand((1, 2, 4, 5), requires_grad=True)
    values = off_the_grid(rng, (1, 2, 4, 5), 0).astype(np.float32)
    flow = torch.tensor(values, requires_grad=True)
    spoiled = torch.tensor(values)
    spoiled[0, 0, 1, 2] = spoiled[0, 1, 3, 0] = value
    spoiled.requires_grad_()
    ops.warp(src, flow, border=border).sum().backward()
    clean = flow.grad.clone()
    src.grad = None
    ops.warp(src, spoiled, border=border).sum().backward()
    assert torch.isfinite(src.grad).all()
    assert torch.isfinite(spoiled.grad).all()
    assert spoiled.grad[0, 0, 1, 2] == 0
    assert spoiled.grad[0, 1, 3, 0] == 0
    if not (border == "clamp" and np.isfinite(value)):  # then the other axis still moves it
        assert not spoiled.grad[0, :, 1, 2].any()
        assert not spoiled.grad[0, :, 3, 0].any()
    untouched = torch.ones(4, 5, dtype=torch.bool)
    untouched[1, 2] = untouched[3, 0] = False
    assert torch.equal(spoiled.grad[0, :, untouched], clean[0, :, untouched])


@pytest.mark.parametrize(("radius", "dilation"), [(1, 1), (2, 1), (1, 2), (0, 1)])
@pytest.mark.parametrize("order", ["yx", "xy"])
def test_gradcheck_of_correlation(radius, dilation, order):
    rng = np.random.default_rng(2)
    f1, f2 = leaf(rng.normal(size=(2, 2, 3, 4))), leaf(rng.normal(size=(2, 2, 3, 4)))
    assert torch.autograd.gradcheck(
        lambda *one: CorrelationInF64.apply(*one, radius, dilation, order), (f1, f2)
    )


def loss_of(function, weight):
    return lambda *tensors: (function(*tensors) * weight).sum()


@pytest.mark.parametrize("name", ["warp-zeros", "warp-clamp", "correlation"])
def test_the_op_agrees_with_finite_differences(name):
    """In float32, with steps of 1/64: the ops are linear in each entry between whole pixels."""
    rng = np.random.default_rng(3)
    src = torch.tensor(rng.integers(-8, 9, (1, 2, 4, 5)), dtype=torch.float32)
    if name == "correlation":
        other = torch.tensor(rng.integers(-8, 9, (1, 2, 4, 5)), dtype=torch.float32)
        function, count = (lambda a, b: ops.correlation(a, b, radius=2, scale=1.0)), 25
    else:
        whole = rng.integers(-3, 4, (1, 2, 4, 5))
        other = torch.tensor(whole + rng.choice([0.25, 0.5, 0.75], whole.shape)).float()
        function, count = (lambda a, b: ops.warp(a, b, border=name[5:])), 2
    weight = torch.tensor(rng.integers(-3, 4, (1, count, 4, 5)), dtype=torch.float32)
    loss = loss_of(function, weight)
    given = [src.requires_grad_(), other.requires_grad_()]
    loss(*given).backward()
    for position, tensor in enumerate(given):
        for index in itertools.product(*map(range, tensor.shape)):
            steps = []
            for step in (1 / 64, -1 / 64):
                moved = [one.detach().clone() for one in given]
                moved[position][index] += step
                steps.append(loss(*moved))
            slope = float(steps[0] - steps[1]) * 32
            assert float(tensor.grad[index]) == pytest.approx(slope, abs=1e-2), index


@pytest.mark.parametrize("size", [(6, 7), (4, 6, 7)], ids=str)
def test_warp_trains_like_grid_sample(size):
    rng = torch.Generator().manual_seed(0)
    src = torch.rand((2, 3, *size), generator=rng)
    flow = torch.randn((2, len(size), *size), generator=rng) * 3
    grad = torch.randn((2, 3, *size), generator=rng)
    found = []
    for function in (ops.warp, by_grid_sample):
        given = [src.clone().requires_grad_(), flow.clone().requires_grad_()]
        function(*given).backward(grad)
        found.append([one.grad for one in given])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def by_grid_sample(src, flow):
    axes = []
    for axis, size in enumerate(src.shape[:1:-1]):
        position = flow[:, axis] + torch.arange(size).reshape(-1, *[1] * axis)
        axes.append(2 * position / (size - 1) - 1)
    grid = torch.stack(axes, dim=-1)
    return torch.nn.functional.grid_sample(src, grid, align_corners=True)


def test_only_what_is_asked_for_is_computed():
    src = torch.rand((1, 2, 4, 5), dtype=torch.float16, requires_grad=True)
    flow = torch.zeros((1, 2, 4, 5))
    ops.warp(src, flow).sum().backward()
    assert src.grad.dtype == torch.float16
    assert torch.equal(src.grad, torch.ones_like(src))
    image = torch.zeros((1, 2, 4, 5), dtype=torch.uint8)
    flow.requires_grad_()
    ops.warp(image, flow).sum().backward()
    assert not flow.grad.any()
    empty = torch.zeros((0, 2, 4, 5), requires_grad=True)
    ops.warp(empty, torch.zeros((0, 2, 4, 5))).sum().backward()
    assert empty.grad.shape == empty.shape


@pytest.mark.parametrize("name", ["warp", "correlation", "warp-3d"])
def test_a_step_of_training_compiles(name):
    torch._dynamo.reset()
    call = make_call(ROWS[name], shape=(1, 2, 5, 6))

    def step(*tensors):
        given = dict(zip(call.inputs, tensors, strict=True))
        return getattr(ops, call.op.name)(**given, **call.words).square().sum()

    grads = []
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        tensors = [
            torch.from_numpy(one.copy()).nan_to_num(0, 0, 0).requires_grad_()
            for one in call.inputs.values()
        ]
        run(*tensors).backward()
        grads.append([one.grad for one in tensors])
    for eager, compiled in zip(*grads, strict=True):
        torch.testing.assert_close(eager, compiled)


# -- half precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_flow_in_half_precision_is_read_exactly(dtype):
    """What `module.half()` makes of a flow head."""
    dtype = getattr(torch, dtype)
    src = torch.rand((1, 2, 6, 7)).to(dtype)
    flow = torch.randn((1, 2, 6, 7)).to(dtype)
    result = ops.warp(src, flow)
    assert result.dtype == dtype
    assert torch.equal(result, ops.warp(src, flow.float()))
    out = torch.empty_like(src)
    assert torch.equal(ops.warp(src, flow, out=out), result)
    composed = ops.compose_flow(flow, flow)
    assert composed.dtype == torch.float32
    assert torch.equal(composed, ops.compose_flow(flow.float(), flow.float()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_follows_grid_sample(dtype):
    """The result has the widest type, where a coordinate counts as float32."""
    dtype = getattr(torch, dtype)
    src, flow = torch.rand((1, 2, 6, 7)), torch.randn((1, 2, 6, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        grid = torch.zeros((1, 6, 7, 2), dtype=dtype)
        grid_sampled = torch.nn.functional.grid_sample(src.to(dtype), grid, align_corners=True)
        for given, shift in ((src, flow), (src.to(dtype), flow), (src.to(dtype), flow.to(dtype))):
            result = ops.warp(given, shift)
            assert result.dtype == grid_sampled.dtype == torch.float32
            assert torch.equal(result, ops.warp(given.float(), shift.float()))
        assert ops.warp((src * 255).to(torch.uint8), flow.to(dtype)).dtype == torch.float32
        assert ops.correlation(src.to(dtype), src.to(dtype)).dtype == dtype
        mixed = ops.correlation(src.to(dtype), src)
        assert torch.equal(mixed, ops.correlation(src.to(dtype).float(), src))
        centred = ops.polar_resample(src.to(dtype), (3.0, 3.0), ops.PolarGrid(5, 4, last_radius=2))
        assert centred.dtype == torch.float32


def test_a_network_trains_under_autocast():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    image = torch.rand((1, 1, 8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        flow = network(image)
        assert flow.dtype == torch.bfloat16
        loss = (ops.warp(image, flow) - image).square().mean()
    loss.backward()
    assert network.weight.grad.abs().sum() > 0


def test_autocast_compiles():
    torch._dynamo.reset()

    def function(src, flow):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return ops.warp(src, flow)

    src, flow = torch.rand((1, 1, 6, 7)).bfloat16(), torch.randn((1, 2, 6, 7)).bfloat16()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(src, flow), function(src, flow))


@pytest.mark.parametrize(
    ("dtype", "name"),
    [("float64", "float64"), ("int64", "int64"), ("complex64", "complex64"), ("bool", "bool")],
)
def test_a_dtype_is_refused_by_its_name(dtype, name):
    src, flow = torch.zeros((1, 1, 3, 4)), torch.zeros((1, 2, 3, 4))
    with pytest.raises(ArgumentError, match=rf"flow of float32, .*; got {name}$"):
        ops.warp(src, flow.to(getattr(torch, dtype)))
    with pytest.raises(ArgumentError, match=rf"src of float32, .*; got {name}$"):
        torch.ops.cineflow.warp(src.to(getattr(torch, dtype)), flow)
    with pytest.raises(ArgumentError, match="flow of dtype float32; got float16"):
        ops.warp(src.numpy(), flow.numpy().astype(np.float16))


# -- refused derivatives ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPS if name not in ("warp", "correlation")])
def test_the_other_ops_refuse_a_backward_pass(name):
    call = make_call(OPS[name], shape=(1, 2, 5, 6))
    given = {key: torch.from_numpy(one.copy()) for key, one in call.inputs.items()}
    next(iter(given.values())).requires_grad_()
    result = getattr(ops, name)(**given, **call.words)
    with pytest.raises(ArgumentError, match=f"no gradient of cineflow::{name}"):
        result.sum().backward()


@pytest.mark.parametrize("name", OPS)
def test_forward_mode_is_refused(name):
    call = make_call(OPS[name], shape=(1, 2, 5, 6))
    given = {key: torch.from_numpy(one.copy()) for key, one in call.inputs.items()}
    first = next(iter(given))
    wanted = f"no forward-mode derivative of cineflow::{name}"
    with forward_ad.dual_level():
        getattr(ops, name)(**given, **call.words)  # plain tensors are not affected
        dual = given | {first: forward_ad.make_dual(given[first], torch.ones_like(given[first]))}
        with pytest.raises(ArgumentError, match=wanted):
            getattr(ops, name)(**dual, **call.words)
        with pytest.raises(ArgumentError, match=wanted):
            getattr(torch.ops.cineflow, name)(**dual, **call.options)
        out = torch.empty(call.shape)
        with pytest.raises(ArgumentError, match=wanted):
            getattr(ops, name)(**dual, **call.words, out=out)


@pytest.mark.parametrize("name", OPS)
def test_torch_func_is_refused(name):
    call = make_call(OPS[name], shape=(1, 2, 5, 6))
    first, *others = (torch.from_numpy(one.copy()) for one in call.inputs.values())
    names = list(call.inputs)

    def function(tensor):
        given = dict(zip(names, (tensor, *others), strict=True))
        return getattr(ops, name)(**given, **call.words)

    def operator(tensor):
        given = dict(zip(names, (tensor, *others), strict=True))
        return getattr(torch.ops.cineflow, name)(**given, **call.options)

    for one_front in (function, operator):
        for transform in (
            lambda front: torch.func.grad(lambda one: front(one).sum())(first),
            lambda front: torch.func.jvp(front, (first,), (first,)),
            lambda front: torch.func.vjp(front, first),
            lambda front: torch.func.jacrev(front)(first),
            lambda front: torch.func.jacfwd(front)(first),
            lambda front: torch.vmap(torch.func.grad(lambda one: front(one).sum()))(first[None]),
        ):
            wanted = rf"cineflow::{name} of ordinary tensors.*backward"
            with pytest.raises(ArgumentError, match=wanted):
                transform(one_front)


@pytest.mark.parametrize("name", OPS)
def test_vmap_gives_what_a_loop_gives(name):
    calls = [make_call(OPS[name], shape=(1, 2, 5, 6), seed=seed) for seed in (1, 2, 3)]
    names = list(calls[0].inputs)
    stacked = [torch.from_numpy(np.stack([call.inputs[key] for call in calls])) for key in names]

    def function(*tensors):
        return getattr(ops, name)(**dict(zip(names, tensors, strict=True)), **calls[0].words)

    found = torch.vmap(function)(*stacked)
    for at, result in enumerate(found):
        assert torch.equal(result, function(*(one[at] for one in stacked)))
