"""The ops as torch operators: registration, strides, dtypes, compile."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError
from tests.op_calls import OPS, ROWS, VOLUMES, make_call

torch = pytest.importorskip("torch")

import cineflow.ops.torch_library  # noqa: E402, F401  (imports torch, registers torch.ops.cineflow)


def pair(dtype=torch.float32, channels_last=False):
    generator = torch.Generator().manual_seed(0)
    src = (torch.rand((2, 3, 7, 9), generator=generator) * 9).to(dtype)
    flow = torch.randn((2, 2, 7, 9), generator=generator) * 2
    return src.to(memory_format=torch.channels_last) if channels_last else src, flow


#: Memory formats by rank.
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def call_of(name, storage="float32", channels_last=False):
    """The tensors of a typical call [2, 3, 7, 9], or of volumes, and the call itself."""
    call = make_call(ROWS[name], shape=(2, 3, 7, 9), storage=storage)
    tensors = {
        # NaN is never equal to itself, which these tests would take for a difference.
        key: torch.from_numpy(np.where(np.isnan(values), np.float32(0), values)).to(
            getattr(torch, call.storage_of(key))
        )
        for key, values in call.inputs.items()
    }
    if channels_last:
        tensors = {
            key: tensor.to(memory_format=LAST[tensor.ndim]) if tensor.ndim in LAST else tensor
            for key, tensor in tensors.items()
        }
    return tensors, call


@pytest.mark.parametrize(
    ("name", "storage", "channels_last"),
    [
        # One op in every storage type: the others share its allocation.
        *(("warp", storage, False) for storage in OPS["warp"].storages),
        *((name, "float32", False) for name in ROWS if name != "warp"),
        *((name, "float32", True) for name in ROWS),
    ],
)
def test_every_op_is_a_lawful_operator(name, storage, channels_last):
    tensors, call = call_of(name, storage, channels_last)
    operator = getattr(torch.ops.cineflow, call.op.name)
    torch.library.opcheck(operator, tuple(tensors.values()), call.options)


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


def public(name):
    """The public function of tensors only, and such tensors."""
    tensors, call = call_of(name)
    run, words = getattr(ops, call.op.name), call.words

    def function(*given, **out):
        return run(**dict(zip(tensors, given, strict=True)), **words, **out)

    return function, list(tensors.values())


def around_a_point(source, **out):
    """A centre that the op itself makes a tensor of."""
    return ops.polar_resample(source, (3.0, 4.0), GRID, **out)


PUBLIC = {**{name: public(name) for name in ROWS}, "tuple": (around_a_point, [pair()[0]])}
#: Their Python is traced also by another: "tuple" is a polar op, `correlation` has the scale.
TRACED_ELSEWHERE = (
    "compose_flow", "warp_correlation", "polar_resample", "polar_unresample",
    *(name for name in VOLUMES if name != "warp-3d"),
)  # fmt: skip
EACH_FUNCTION = pytest.mark.parametrize(("function", "tensors"), PUBLIC.values(), ids=PUBLIC)


def compiles(function, tensors, backend):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda *given: function(*given) + 1, backend=backend, fullgraph=True, dynamic=True
    )
    for count in (2, 1):
        given = [tensor[:count] for tensor in tensors]
        assert torch.equal(compiled(*given), function(*given) + 1)


@pytest.mark.parametrize(
    ("function", "tensors"),
    [
        pytest.param(*case, id=name, marks=pytest.mark.slow if name in TRACED_ELSEWHERE else ())
        for name, case in PUBLIC.items()
    ],
)
def test_a_public_function_is_traced_without_a_graph_break_or_a_fixed_size(function, tensors):
    compiles(function, tensors, "aot_eager")


@pytest.mark.slow
@EACH_FUNCTION
def test_a_public_function_compiles(function, tensors):
    compiles(function, tensors, "inductor")


@EACH_FUNCTION
def test_a_backward_pass_is_never_a_gradient_of_zero(function, tensors, request):
    """`warp` and `correlation` have one (test_torch_gradients.py)."""
    given = [tensor.clone().requires_grad_() for tensor in tensors]
    loss = function(*given).nansum() + given[0].sum()
    if request.node.callspec.id.removesuffix("-3d") in ("warp", "correlation"):
        loss.backward()
        assert all(tensor.grad.any() for tensor in given)
        return
    with pytest.raises(ArgumentError, match=r"wanted no gradient of cineflow::\w+; got a backward"):
        loss.backward()


def conjugate(tensor):
    """The same values with a pending negation, as torch has it in views of complex conjugates."""
    view = torch.complex(tensor, -tensor).conj().imag
    assert view.is_neg()
    return view


@EACH_FUNCTION
def test_a_pending_sign_and_a_gradient_are_handled_also_with_out(function, tensors):
    wanted = function(*tensors)
    for given in (
        [conjugate(tensor) for tensor in tensors],
        [tensor.clone().requires_grad_() for tensor in tensors],
    ):
        out = torch.empty_like(wanted)
        assert function(*given, out=out) is out
        assert torch.equal(out.nan_to_num(), wanted.nan_to_num())
        assert torch.equal(function(*given).detach(), out)


@EACH_FUNCTION
def test_an_out_that_is_not_plain_memory_is_refused(function, tensors):
    like = function(*tensors)
    for out, wanted in (
        (like.clone().requires_grad_(), "out that requires no gradient"),
        (conjugate(like), "out with its own values"),
        (like.to("meta"), "out on the CPU or a CUDA device"),
    ):
        with pytest.raises(ArgumentError, match=wanted):
            function(*tensors, out=out)


@pytest.mark.parametrize("name", ROWS)
def test_a_tensor_on_another_device_or_of_another_rank_is_refused(name):
    """Before memory is allocated that no kernel would write."""
    tensors, call = call_of(name)
    operator = getattr(torch.ops.cineflow, call.op.name)
    for key, tensor in tensors.items():

        def run(other, key=key):
            operator(**(tensors | {key: other}), **call.options)

        elsewhere = tensor.to("meta")
        if len(tensors) > 1:
            wanted = r"every tensor on (cpu|meta); got \w+ on (cpu|meta)"
            with pytest.raises(ArgumentError, match=wanted):
                run(elsewhere)
        for like in (tensor, elsewhere):
            with pytest.raises(ArgumentError, match=r"wanted \w+ of shape \[.*; got shape"):
                run(like[0])


def test_out_on_another_device_is_refused():
    src, flow = pair()
    with pytest.raises(ArgumentError, match="every tensor on meta; got out on cpu"):
        ops.warp(src.to("meta"), flow.to("meta"), out=torch.empty_like(src))


def test_an_unknown_border_is_refused_before_torch_sees_it():
    src, flow = pair()
    for function in (ops.warp, ops.compose_flow):
        with pytest.raises(ArgumentError, match='border "zeros" or "clamp"; got None'):
            function(src, flow, border=None)


def test_mixed_kinds_are_refused():
    src, flow = pair()
    with pytest.raises(ArgumentError, match="every argument as a torch array"):
        ops.warp(src, flow.numpy())
