"""The declaration of an op: its schema, the axes of its tensors, its allocation and its kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, ClassVar

from cineflow.ops.arrays import Array, rank_of, require_rank

#: Names of the tensors that hold pixels: positions, or distances between them.
_COORDINATES = ("flow", "displacement", "centre", "coords", "points1", "points2")


_ndim = attrgetter("ndim")


class Operator:
    """One op, declared once for NumPy, torch and CuPy arrays. `cineflow.ops.dispatch` runs it.

    Attributes:
        schema: Schema of the torch operator: "warp(Tensor src, Tensor flow, str border) -> Tensor".
        name: Its name in torch, "warp".
        axes: Axes of each tensor, in the order of the schema: {"src": "[N, C, H, W]"}.
        volume_axes: The same where the first tensor is a volume: {"src": "[N, C, D, H, W]"}; empty
            where the op takes images only.
        names: Names of the tensors, then "out".
        coordinates: Positions, among the tensors, of those that say where to sample.
        by_value: Positions of those that may be on the CPU where the others are on a GPU, if they
            have one row: the launcher passes their values.
        allocate: `allocate(*arguments)` returns an uninitialised result for tensors of those axes.
            It is also the fake kernel.
        fill: `fill(out, *arguments)` runs the kernel.
        workspace: `workspace(*arguments)` is the number of float32 that the kernels need on a GPU;
            None where they need none. `fill` then takes `workspace=`, and makes it where the caller
            gives none.
    """

    #: Every operator by name, once its module is imported.
    declared: ClassVar[dict[str, Operator]] = {}

    #: Makes a torch operator of an op by name; `cineflow.ops.torch_library` sets it.
    registers: ClassVar[Callable[[str], object] | None] = None

    #: Whether an op may run on tensors at once; `cineflow.ops.torch_plain` sets it.
    needs_no_dispatcher: ClassVar[Callable[[Operator, tuple[Any, ...]], bool] | None] = None

    def __init__(
        self,
        schema: str,
        axes: Mapping[str, str],
        allocate: Callable[..., Array],
        fill: Callable[..., None],
        volume_axes: Mapping[str, str] | None = None,
        workspace: Callable[..., int] | None = None,
    ) -> None:
        self.schema = schema
        self.name = schema.partition("(")[0]
        self.axes = axes
        self.volume_axes = volume_axes or {}
        self.names = (*axes, "out")
        forms = filter(None, (axes, self.volume_axes))
        self._ranks = [list(map(rank_of, form.values())) for form in forms]
        self.coordinates = tuple(at for at, name in enumerate(axes) if name in _COORDINATES)
        self.by_value = tuple(at for at, name in enumerate(axes) if name == "centre")
        self.allocate = allocate
        self.fill = fill
        self.workspace = workspace
        Operator.declared[self.name] = self
        if Operator.registers is not None:
            Operator.registers(self.name)

    def require_ranks(self, arguments: tuple[Any, ...]) -> None:
        """Raise `ArgumentError` unless each tensor has the number of axes that `axes` names.

        Where the op also takes volumes, the rank of the first tensor decides between the two.
        """
        # First the usual case, because calls on small arrays are short.
        if [*map(_ndim, arguments[: len(self.axes)])] in self._ranks:
            return
        wanted = self.axes
        if self.volume_axes:
            name, image = next(iter(self.axes.items()))
            volume = self.volume_axes[name]
            require_rank(name, arguments[0], image, volume)
            if arguments[0].ndim == rank_of(volume):
                wanted = self.volume_axes
        for (name, axes), array in zip(wanted.items(), arguments, strict=False):
            require_rank(name, array, axes)
