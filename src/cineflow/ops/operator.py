"""One op for every kind of array: what it checks, what it allocates, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from cineflow.ops.arrays import Array, require_rank, shared_kind


class Operator:
    """The front of a kernel, for NumPy, torch and CuPy arrays.

    Attributes:
        schema: Of the torch operator: "warp(Tensor src, Tensor flow, str border) -> Tensor".
        name: Its name there, "warp".
        axes: Of each tensor, in the order of the schema: {"src": "[N, C, H, W]"}.
        names: Of the tensors, and at last "out".
        allocate: `allocate(*arguments)` answers the result, uninitialised, for tensors of those
            axes; also the fake kernel.
        fill: `fill(out, *arguments)` runs the kernel.
    """

    #: Every operator by name, as far as its module is imported.
    declared: ClassVar[dict[str, Operator]] = {}

    def __init__(
        self,
        schema: str,
        axes: Mapping[str, str],
        allocate: Callable[..., Array],
        fill: Callable[..., None],
    ) -> None:
        self.schema = schema
        self.name = schema.partition("(")[0]
        self.axes = axes
        self.names = (*axes, "out")
        self.allocate = allocate
        self.fill = fill
        Operator.declared[self.name] = self

    def __call__(self, *arguments: Any, out: Array | None = None) -> Array:
        """Compute the op for the schema's arguments: into `out`, or into an array of its own.

        Raises:
            ArgumentError: Kinds, ranks, shapes, dtypes or devices do not fit.
            EngineError: A CUDA array, and no CUDA kernels or no device to run them.
        """
        tensors = arguments[: len(self.axes)]
        kind = shared_kind(self.names, tensors if out is None else (*tensors, out))
        if kind == "torch":
            from cineflow.ops import torch_library

            if out is None:
                return torch_library.operator(self.name)(*arguments)
            torch_library.fill(self, out, arguments)
            return out
        if out is None:
            self.require_ranks(arguments)
            out = self.allocate(*arguments)
        self.fill(out, *arguments)
        return out

    def require_ranks(self, arguments: tuple[Any, ...]) -> None:
        """Raise `ArgumentError` unless each tensor has as many axes as its own are named."""
        for (name, axes), array in zip(self.axes.items(), arguments, strict=False):
            require_rank(name, array, axes)
