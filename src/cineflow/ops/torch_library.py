"""The ops as torch operators, `torch.ops.cineflow.*`: safe under torch.compile and torch.export.

Importing this module imports torch and registers the operators. `cineflow.ops` imports it at the
first torch tensor. The function that allocates a result is also the fake kernel, so shape, dtype
and strides are those of the real result. `torch_gradients` has the gradients of warp and
correlation; a backward pass through another operator raises.

Under autocast the operators follow `torch.nn.functional.grid_sample`: floating-point inputs are
converted to the widest type among them, and coordinates count as float32.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cineflow.errors import ArgumentError
from cineflow.ops.operator import Operator
from cineflow.ops.torch_gradients import GRADIENTS, no_gradient


class _RefusingLibrary(torch.library.Library):
    """Registers kernels for autograd that first refuse what they would get wrong.

    `torch.library.register_autograd` makes a kernel that knows `backward()` only. Under forward
    mode and torch.func it would return a constant, or fail without saying why.
    """

    def impl(self, op_name: str, fn: Any, dispatch_key: str = "", **options: Any) -> None:
        kernel = fn
        if dispatch_key == "Autograd":
            op = Operator.declared[op_name]

            def kernel(keyset: Any, *arguments: Any) -> Any:
                _require_ordinary(op, arguments)
                return fn(keyset, *arguments)

        super().impl(op_name, kernel, dispatch_key, **options)  # type: ignore[no-untyped-call]


_library: Any = _RefusingLibrary("cineflow", "DEF")  # type: ignore[no-untyped-call]
_registered: dict[str, Any] = {}


def operator(name: str) -> Any:
    """The torch operator of a declared `Operator`."""
    if name not in _registered:
        _registered[name] = _register(Operator.declared[name])
    return _registered[name]


def call(op: Operator, arguments: tuple[Any, ...]) -> Tensor:
    """The op's result, in a new tensor.

    Raises:
        ArgumentError: The arguments do not fit, or are traced by torch.func or forward mode.
    """
    result: Tensor = operator(op.name)(*_with_float32_coordinates(op, arguments))
    return result


def fill(op: Operator, out: Tensor, arguments: tuple[Any, ...]) -> None:
    """Write the op's result into the caller's `out` without torch's dispatcher.

    Raises:
        ArgumentError: `out` is not plain memory, or the arguments do not fit.
    """
    for refused, wanted, got in (
        (out.requires_grad, "out that requires no gradient", "one that requires it"),
        (out.is_neg(), "out with its own values", "the imaginary part of a conjugate"),
        (out.is_meta, "out on the CPU or a CUDA device", "one on meta"),
    ):
        if refused:
            raise ArgumentError(wanted, got, "Make it with torch.empty.")
    _require_ordinary(op, (*arguments[: len(op.axes)], out))
    _require_one_device(op, (*arguments[: len(op.axes)], out))
    arguments = _with_float32_coordinates(op, arguments)
    op.fill(out, *map(_plain, arguments))


def _with_float32_coordinates(op: Operator, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """A module in half precision has its flow there also; the conversion is exact."""
    halves = (torch.float16, torch.bfloat16)
    if all(arguments[at].dtype not in halves for at in op.coordinates):
        return arguments
    return tuple(
        one.float() if at in op.coordinates and one.dtype in halves else one
        for at, one in enumerate(arguments)
    )


def _require_ordinary(op: Operator, arguments: tuple[Any, ...]) -> None:
    """Refuse tensors that torch.func or forward mode differentiates: the kernels would see values
    without their derivative, and the result would be a constant."""
    for one in arguments:
        if not isinstance(one, Tensor):
            continue
        if torch._C._functorch.is_gradtrackingtensor(one):
            raise ArgumentError(
                f"cineflow::{op.name} of ordinary tensors",
                "one that torch.func differentiates",
                "Use torch.autograd.grad, or backward().",
            )
        _require_no_tangent(op, one)


def _require_no_tangent(op: Operator, tensor: Tensor) -> None:
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None:
        raise ArgumentError(
            f"no forward-mode derivative of cineflow::{op.name}",
            "a tensor with a tangent",
            "Use torch.autograd.grad, or backward(), which warp and correlation have.",
        )


def _promoted(op: Operator, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Floating-point tensors in the widest type among them; coordinates count as float32."""
    floats = [
        at for at in range(len(op.axes))
        if isinstance(arguments[at], Tensor) and arguments[at].is_floating_point()
    ]  # fmt: skip
    types = [torch.float32 if at in op.coordinates else arguments[at].dtype for at in floats]
    if not types:
        return arguments
    widest = types[0]
    for dtype in types[1:]:
        widest = torch.promote_types(widest, dtype)
    return tuple(one.to(widest) if at in floats else one for at, one in enumerate(arguments))


def _plain(argument: Any) -> Any:
    """A tensor that DLPack can export: without gradient, a pending negation applied."""
    return argument.detach().resolve_neg() if isinstance(argument, Tensor) else argument


def _require_one_device(op: Operator, tensors: tuple[Tensor, ...]) -> None:
    first = tensors[0].device
    for at, (name, tensor) in enumerate(zip(op.names, tensors, strict=False)):
        if tensor.device == first:
            continue
        if (
            at in op.by_value
            and first.type == "cuda"
            and tensor.is_cpu
            and tensor.shape[:1] == (1,)
        ):
            continue
        raise ArgumentError(f"every tensor on {first}", f"{name} on {tensor.device}")


def _register(op: Operator) -> Any:
    count = len(op.axes)

    def allocate(*arguments: Any) -> Tensor:
        op.require_ranks(arguments)
        _require_one_device(op, arguments[:count])
        out: Tensor = op.allocate(*arguments)
        return out

    def run(*arguments: Any) -> Tensor:
        for tensor in arguments[:count]:
            _require_no_tangent(op, tensor)
        out = allocate(*arguments)
        op.fill(out, *map(_plain, arguments))
        return out

    _library.define(op.schema)
    operator = getattr(torch.ops.cineflow, op.name)
    for device in ("CPU", "CUDA"):
        _library.impl(op.name, run, device)
        _register_autocast(op, operator.default, device)
    name = f"cineflow::{op.name}"
    torch.library.register_fake(name, allocate, lib=_library)
    gradient = GRADIENTS.get(op.name) or no_gradient(op.name)
    torch.library.register_autograd(
        name, gradient.backward, setup_context=gradient.setup, lib=_library
    )
    return operator


def _register_autocast(op: Operator, operator: Any, device: str) -> None:
    """`torch.library.register_autocast` casts to one type; the widest one is not known before."""
    key = getattr(torch._C.DispatchKey, f"Autocast{device}")

    def kernel(_: Any, *arguments: Any) -> Tensor:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            result: Tensor = operator(*_promoted(op, arguments))
        return result

    _library.impl(op.name, kernel, f"Autocast{device}", with_keyset=True)


for _name in Operator.declared:
    operator(_name)
Operator.registers = staticmethod(operator)  # for ops that are declared later

with contextlib.suppress(ImportError, AttributeError):  # a torch without the names that it reads
    import cineflow.ops.torch_plain  # noqa: F401, from now on plain tensors go past this module
