"""The ops as torch operators: registration, strides, dtypes, compile."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError

torch = pytest.importorskip("torch")

import cineflow.ops.torch_library  # noqa: E402, F401  (imports torch, registers torch.ops.cineflow)


def pair(dtype=torch.float32, channels_last=False):
    generator = torch.Generator().manual_seed(0)
    src = (torch.rand((2, 3, 7, 9), generator=generator) * 9).to(dtype)
    flow = torch.randn((2, 2, 7, 9), generator=generator) * 2
    return src.to(memory_format=torch.channels_last) if channels_last else src, flow


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8], ids=str
)
def test_warp_is_a_lawful_operator(dtype, channels_last):
    src, flow = pair(dtype, channels_last)
    torch.library.opcheck(torch.ops.cineflow.warp, (src, flow, "clamp"))


SAMPLES = {
    "compose_flow": lambda src, flow: (flow, flow, "clamp"),
    "correlation": lambda src, flow: (src, src, 2, 1, 0.5, True),
    "warp_correlation": lambda src, flow: (src, src, flow, 2, 1, 0.5, False, "zeros"),
    "polar_resample": lambda src, flow: (
        *(src, torch.tensor([[3.0, 4.0]]), 8, 5, 0.0, 0.8, 0.0, 1.0, True, "zeros", 1.0, 0.0),
    ),
    "polar_unresample": lambda src, flow: (
        *(src, torch.tensor([[3.0, 4.0]]), 8, 5, 0.0, 0.9, 0.0, 1.0, True, "zeros", 1.0, 0.0),
    ),
}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_op_is_a_lawful_operator(name, channels_last):
    arguments = SAMPLES[name](*pair(channels_last=channels_last))
    torch.library.opcheck(getattr(torch.ops.cineflow, name), arguments)


@pytest.mark.parametrize("channels_last", [False, True])
def test_torch_and_numpy_give_the_same_bits(channels_last):
    src, flow = pair(channels_last=channels_last)
    got = ops.warp(src, flow)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), ops.warp(src.numpy(), flow.numpy()))


def test_bfloat16_is_rounded_from_the_f32_result():
    src, flow = pair(torch.bfloat16)
    exact = ops.warp(src.float(), flow)
    assert torch.equal(ops.warp(src, flow), exact.to(torch.bfloat16))


def test_out_is_written_in_place():
    src, flow = pair()
    out = torch.empty_like(src)
    assert ops.warp(src, flow, out=out) is out
    assert torch.equal(out, ops.warp(src, flow))


GRID = ops.PolarGrid(7, 9, last_radius=6.0)

#: Each public function of an image [N, 3, h, w] and a flow.
PUBLIC = {
    "warp": lambda src, flow, **out: ops.warp(src, flow, border="clamp", **out),
    "compose_flow": lambda src, flow, **out: ops.compose_flow(flow, flow, **out),
    "correlation": lambda src, flow, **out: ops.correlation(src, src, radius=2, **out),
    "warp_correlation": lambda src, flow, **out: ops.warp_correlation(
        src, src, flow, radius=2, **out
    ),
    "polar_resample": lambda src, flow, **out: ops.polar_resample(src, (3.0, 4.0), GRID, **out),
    "polar_unresample": lambda src, flow, **out: ops.polar_unresample(
        src, (3.0, 4.0), GRID, (7, 9), **out
    ),
}
EACH_FUNCTION = pytest.mark.parametrize("function", PUBLIC.values(), ids=PUBLIC)


def compiles(function, backend):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda src, flow: function(src, flow) + 1, backend=backend, fullgraph=True, dynamic=True
    )
    src, flow = pair()
    for count in (2, 1):
        given = src[:count], flow[:count]
        assert torch.equal(compiled(*given), function(*given) + 1)


@EACH_FUNCTION
def test_a_public_function_is_traced_without_a_graph_break_or_a_fixed_size(function):
    compiles(function, "aot_eager")


@pytest.mark.slow
@EACH_FUNCTION
def test_a_public_function_compiles(function):
    compiles(function, "inductor")


@EACH_FUNCTION
def test_a_backward_pass_is_refused_and_never_a_gradient_of_zero(function):
    src, flow = (tensor.requires_grad_() for tensor in pair())
    result = function(src, flow)
    with pytest.raises(ArgumentError, match=r"wanted no gradient of cineflow::\w+; got a backward"):
        (result.sum() + src.sum()).backward()
    with pytest.raises((ArgumentError, RuntimeError), match=r"no gradient|functorch"):
        torch.func.grad(lambda *given: function(*given).sum(), (0, 1))(src.detach(), flow.detach())


def conjugate(tensor):
    """The same values with their sign pending, as torch's views of complex conjugates have it."""
    view = torch.complex(tensor, -tensor).conj().imag
    assert view.is_neg()
    return view


@EACH_FUNCTION
def test_what_torch_keeps_beside_a_tensor_is_seen_also_with_out(function):
    src, flow = pair()
    wanted = function(src, flow)
    for given in (
        (conjugate(src), conjugate(flow)),
        (src.clone().requires_grad_(), flow.clone().requires_grad_()),
    ):
        out = torch.empty_like(wanted)
        assert function(*given, out=out) is out
        assert torch.equal(out, wanted)
        assert torch.equal(function(*given).detach(), wanted)


@EACH_FUNCTION
def test_an_out_that_is_not_plain_memory_is_refused(function):
    src, flow = pair()
    like = function(src, flow)
    for out, wanted in (
        (like.clone().requires_grad_(), "out that requires no gradient"),
        (conjugate(like), "out with its own values"),
        (like.to("meta"), "out on the CPU or a CUDA device"),
    ):
        with pytest.raises(ArgumentError, match=wanted):
            function(src, flow, out=out)


@pytest.mark.parametrize("name", ["warp", *SAMPLES])
def test_a_tensor_on_another_device_or_of_another_rank_is_refused(name):
    """Before memory is handed out that nobody would write."""
    arguments = SAMPLES.get(name, lambda src, flow: (src, flow, "zeros"))(*pair())
    operator = getattr(torch.ops.cineflow, name)
    for index, argument in enumerate(arguments):
        if not isinstance(argument, torch.Tensor):
            continue
        before, after = arguments[:index], arguments[index + 1 :]
        with pytest.raises(
            ArgumentError, match=r"every tensor on (cpu|meta); got \w+ on (cpu|meta)"
        ):
            operator(*before, argument.to("meta"), *after)
        for like in (argument, argument.to("meta")):
            with pytest.raises(ArgumentError, match=r"wanted \w+ of shape \[.*; got shape"):
                operator(*before, like[0], *after)


def test_out_on_another_device_is_refused():
    src, flow = pair()
    with pytest.raises(ArgumentError, match="every tensor on meta; got out on cpu"):
        ops.warp(src.to("meta"), flow.to("meta"), out=torch.empty_like(src))


def test_a_border_that_is_none_of_them_is_refused_before_torch_sees_it():
    src, flow = pair()
    for function in (ops.warp, ops.compose_flow):
        with pytest.raises(ArgumentError, match='border "zeros" or "clamp"; got None'):
            function(src, flow, border=None)


def test_mixed_kinds_are_refused():
    src, flow = pair()
    with pytest.raises(ArgumentError, match="every argument as a torch array"):
        ops.warp(src, flow.numpy())
