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


@pytest.mark.slow
def test_the_public_function_compiles_without_a_graph_break():
    src, flow = pair()
    compiled = torch.compile(lambda a, b: ops.warp(a, b, border="clamp") + 1, fullgraph=True)
    assert torch.equal(compiled(src, flow), ops.warp(src, flow, border="clamp") + 1)


def test_mixed_kinds_are_refused():
    src, flow = pair()
    with pytest.raises(ArgumentError, match="every argument as a torch array"):
        ops.warp(src, flow.numpy())
