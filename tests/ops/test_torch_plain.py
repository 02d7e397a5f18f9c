"""Which calls on torch tensors go past torch's dispatcher, and which must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import cineflow.ops.torch_library  # noqa: E402, F401
from cineflow import ops  # noqa: E402
from cineflow.ops.operator import Operator  # noqa: E402
from cineflow.ops.torch_plain import need_no_dispatcher  # noqa: E402

WARP = Operator.declared["warp"]


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(1, 2, 5, 6), torch.rand(1, 2, 5, 6)


class Seen(TorchDispatchMode):
    """Counts the operators that the dispatcher sees."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        self.names.append(str(function))
        return function(*arguments, **(options or {}))


class Calls(TorchFunctionMode):
    def __torch_function__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(
    "mode", [nullcontext, torch.no_grad, torch.inference_mode, torch.enable_grad]
)
def test_ordinary_tensors_need_no_dispatcher(mode: Callable[[], AbstractContextManager]) -> None:
    with mode():
        src, flow = pair()
        assert need_no_dispatcher(WARP, (src, flow))
        assert need_no_dispatcher(WARP, (torch.nn.Parameter(src, requires_grad=False), flow))
        result = ops.warp(src, flow)
    assert torch.equal(result, torch.ops.cineflow.warp(src, flow))
    assert result.is_inference() == (mode is torch.inference_mode)


def test_both_ways_give_the_same_bits_in_any_layout_and_type() -> None:
    flow = torch.rand(2, 2, 5, 6) * 4 - 2
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.uint8):
        src = (torch.rand(2, 3, 7, 8) * 200).to(dtype)
        for given in (src, src.contiguous(memory_format=torch.channels_last), src.transpose(2, 3)):
            assert need_no_dispatcher(WARP, (given, flow))
            got, wanted = ops.warp(given, flow), torch.ops.cineflow.warp(given, flow)
            assert torch.equal(got, wanted)
            assert (got.dtype, got.stride()) == (wanted.dtype, wanted.stride())


def unusual() -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    src, flow = pair()
    yield "requires a gradient", (src.clone().requires_grad_(), flow)
    yield "a pending negation", (torch.complex(src, -src).conj().imag, flow)
    yield "on meta", (src.to("meta"), flow.to("meta"))
    yield "half-precision coordinates", (src, flow.half())
    yield "another class", (src.as_subclass(type("Other", (torch.Tensor,), {})), flow)
    yield "sparse", (src.to_sparse(), flow)


@pytest.mark.parametrize(("name", "tensors"), list(unusual()), ids=[name for name, _ in unusual()])
def test_an_unusual_tensor_takes_the_dispatcher(
    name: str, tensors: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert not need_no_dispatcher(WARP, tensors)


@pytest.mark.parametrize("mode", [Seen, Calls, lambda: torch.autocast("cpu"),
                                  lambda: torch.device("cpu"), forward_ad.dual_level])  # fmt: skip
def test_a_mode_takes_the_dispatcher(mode: Callable[[], AbstractContextManager]) -> None:
    src, flow = pair()
    with mode():
        assert not need_no_dispatcher(WARP, (src, flow))


def test_a_profiler_sees_the_operator() -> None:
    ops.warp(*pair())  # the first call imports
    with torch.profiler.profile() as profile:
        ops.warp(*pair())
    assert "cineflow::warp" in [event.key for event in profile.key_averages()]


def test_a_dispatch_mode_sees_the_operator() -> None:
    src, flow = pair()
    ops.warp(src, flow)  # from here on plain calls go past the dispatcher
    with Seen() as seen:
        ops.warp(src, flow)
    assert "cineflow.warp.default" in seen.names


def test_a_transform_and_a_trace_see_the_operator() -> None:
    src, flow = pair()
    found = []

    def look(given: torch.Tensor) -> torch.Tensor:
        found.append(need_no_dispatcher(WARP, (given, flow)))
        return given.sum()

    torch.func.grad(look)(src)
    torch.func.vmap(look)(src)
    torch.jit.trace(look, src, check_trace=False)
    assert found == [False] * len(found)
    assert len(found) >= 3
