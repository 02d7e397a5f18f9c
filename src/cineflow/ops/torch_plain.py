"""Which calls on torch tensors need nothing of torch's dispatcher.

Problem: the way through the dispatcher to a kernel in Python takes 40 times as long as `torch.add`
on small tensors.

Solution: ordinary tensors, in a call that nothing records, differentiates, traces or converts, go
to the kernel at once. torch itself says what is ordinary: the dispatch keys of the tensors and of
the calling thread. Everything else takes `torch.ops.cineflow.*`.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet
from torch.autograd import forward_ad

from cineflow.ops.operator import Operator

_include: Any = torch._C._dispatch_tls_local_include_set
_autocasts: Any = torch._C._is_any_autocast_enabled
_keys_of: Any = torch._C._dispatch_keys
_function_modes: Any = torch._C._len_torch_function_stack
_profiles: Any = torch._C._autograd._profiler_enabled

_bits_of: Any = DispatchKeySet.raw_repr
_TYPES = (Tensor, torch.nn.Parameter)


def _bits(*keys: Any) -> int:
    bits = 0
    for key in keys:
        bits |= _bits_of(DispatchKeySet(key))
    return bits


#: All keys but those of tensors in plain memory: a pending negation, a wrapper, another layout.
_UNUSUAL = ~_bits(
    DispatchKey.CPU,
    DispatchKey.CUDA,
    DispatchKey.ADInplaceOrView,
    DispatchKey.AutogradCPU,
    DispatchKey.AutogradCUDA,
    DispatchKey.AutocastCPU,
    DispatchKey.AutocastCUDA,
)


def _usual_threads() -> frozenset[int]:
    """The thread's keys without any mode, inside and outside of inference mode.

    This module may be imported inside a mode, so they are taken in a thread of its own.
    """
    found = []

    def look() -> None:
        found.append(_bits_of(_include()))
        with torch.inference_mode():
            found.append(_bits_of(_include()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return frozenset(found)


_USUAL = _usual_threads()


def need_no_dispatcher(op: Operator, tensors: tuple[Any, ...]) -> bool:
    """Whether `op` may be run on `tensors`, its inputs and perhaps its output, at once."""
    if torch.compiler.is_dynamo_compiling() or _function_modes() or _autocasts() or _profiles():
        return False
    if _bits_of(_include()) not in _USUAL or forward_ad._current_level >= 0:
        return False
    for tensor in tensors:
        if type(tensor) not in _TYPES or tensor.requires_grad:
            return False
        if _bits_of(_keys_of(tensor)) & _UNUSUAL:
            return False
    for at in op.coordinates:  # noqa: SIM110, a generator takes longer than the check
        if tensors[at].dtype != torch.float32:
            return False
    return True


Operator.needs_no_dispatcher = staticmethod(need_no_dispatcher)
