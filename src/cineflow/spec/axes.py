"""Sizes of a tensor: fixed, dynamic, or a fixed part of a dynamic one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cineflow.errors import SpecError
from cineflow.spec.checks import is_whole, require_text


@dataclass(frozen=True)
class Axis:
    """A dynamic axis: the sizes a model accepts along it.

    `HEIGHT / 4` and `HEIGHT * 2` are axes that follow this one (`AxisPart`).

    Attributes:
        name: Symbol of the axis in the ONNX graph ("height"); equal names are equal sizes.
        minimum: Smallest size, in elements.
        maximum: Largest size, in elements.
        multiple: Every size is a multiple of this.
    """

    name: str
    minimum: int
    maximum: int
    multiple: int = 1

    def __post_init__(self) -> None:
        require_text("an axis", name=self.name)
        if not all(is_whole(size) for size in (self.minimum, self.maximum, self.multiple)):
            raise SpecError(
                f"{self.name}: whole numbers as minimum, maximum and multiple",
                f"{self.minimum!r}, {self.maximum!r}, {self.multiple!r}",
                "Sizes count elements",
            )
        if not (0 < self.minimum <= self.maximum and self.multiple > 0):
            raise SpecError(
                "an axis with 0 < minimum <= maximum and multiple > 0",
                f"{self.name}: {self.minimum}..{self.maximum} by {self.multiple}",
                "Correct the sizes that the axis accepts",
            )

    def __truediv__(self, divisor: int) -> AxisPart:
        return AxisPart(self, 1, divisor)

    def __mul__(self, factor: int) -> AxisPart:
        return AxisPart(self, factor, 1)

    def accepts(self, size: int) -> bool:
        """Whether `size` elements fit this axis."""
        return self.minimum <= size <= self.maximum and size % self.multiple == 0

    def describe(self) -> str:
        """The accepted sizes in words ("64..1024 by 16")."""
        step = f" by {self.multiple}" if self.multiple > 1 else ""
        return f"{self.minimum}..{self.maximum}{step}"


@dataclass(frozen=True)
class AxisPart:
    """A size that follows a dynamic axis: `height / 4` of a feature map, `2 height` of a zoom.

    Attributes:
        axis: The axis that it follows.
        numerator: The size is axis * numerator / denominator.
        denominator: Divides every size that the axis accepts, so the part is always whole.
    """

    axis: Axis
    numerator: int = 1
    denominator: int = 1

    def __post_init__(self) -> None:
        whole = is_whole(self.numerator) and is_whole(self.denominator)
        if not whole or self.numerator < 1 or self.denominator < 1:
            raise SpecError(
                f"a part of {self.axis.name} by whole numbers of 1 or more",
                f"{self.numerator!r} / {self.denominator!r}",
                "Write HEIGHT / 4 or HEIGHT * 2",
            )
        if self.axis.multiple * self.numerator % self.denominator:
            raise SpecError(
                f"{self.axis.name} in multiples of {self.denominator}, because "
                f"{self.name} is a size of this model",
                f"multiples of {self.axis.multiple}",
                f'Axis("{self.axis.name}", ..., multiple={self.denominator})',
            )

    @property
    def name(self) -> str:
        """As it is written ("height / 4")."""
        times = f"{self.numerator} " if self.numerator > 1 else ""
        by = f" / {self.denominator}" if self.denominator > 1 else ""
        return f"{times}{self.axis.name}{by}"

    def size(self, axis_size: int) -> int:
        """This size where the axis has `axis_size` elements."""
        return axis_size * self.numerator // self.denominator

    def axis_size(self, size: int) -> int | None:
        """The axis' size that makes this one `size`; None where none does."""
        whole, rest = divmod(size * self.denominator, self.numerator)
        return None if rest else whole

    def accepts(self, size: int) -> bool:
        """Whether some accepted size of the axis makes this one `size`."""
        whole = self.axis_size(size)
        return whole is not None and self.axis.accepts(whole)

    def describe(self) -> str:
        """The accepted sizes in words ("16..256 by 4")."""
        smallest = -(-self.axis.minimum // self.axis.multiple) * self.axis.multiple
        largest = self.axis.maximum // self.axis.multiple * self.axis.multiple
        step = self.size(self.axis.multiple)
        words = f"{self.size(smallest)}..{self.size(largest)}"
        return f"{words} by {step}" if step > 1 else words


Dim: TypeAlias = int | Axis | AxisPart


def root_axis(dim: Dim) -> Axis | None:
    """The dynamic axis that decides this size; None for a fixed one."""
    if isinstance(dim, AxisPart):
        return dim.axis
    return dim if isinstance(dim, Axis) else None


def describe_dim(dim: Dim) -> str:
    """A size in words ("height 64..1024 by 16", "height / 4", "2")."""
    if isinstance(dim, Axis):
        return f"{dim.name} {dim.describe()}"
    return dim.name if isinstance(dim, AxisPart) else str(dim)


def size_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The size of `dim` once the dynamic axes have `sizes`, by axis name.

    Raises:
        KeyError: `sizes` lacks the axis.
    """
    if isinstance(dim, AxisPart):
        return dim.size(sizes[dim.axis.name])
    return sizes[dim.name] if isinstance(dim, Axis) else dim


def fix_dim(dim: Dim, sizes: Mapping[str, int]) -> Dim:
    """`dim` as a number where `sizes` fixes its axis, else as it is."""
    axis = root_axis(dim)
    return size_of(dim, sizes) if axis is not None and axis.name in sizes else dim


def mismatch(dim: Dim, size: int, sizes: dict[str, int]) -> str:
    """Why `size` does not fit `dim`, in words; "" where it fits.

    Args:
        dim: The size of the spec.
        size: The size that came.
        sizes: What the dynamic axes have been so far, by name; a new one is added.
    """
    axis = root_axis(dim)
    if axis is None:
        return "" if size == dim else f"{dim}, not {size}"
    assert not isinstance(dim, int)
    whole = dim.axis_size(size) if isinstance(dim, AxisPart) else size
    if whole is None or not axis.accepts(whole):
        return f"{dim.name} of {dim.describe()}, not {size}"
    known = sizes.setdefault(axis.name, whole)
    if known != whole:
        because = f" (because {axis.name} is {known})" if isinstance(dim, AxisPart) else ""
        return f"{dim.name} = {size_of(dim, sizes)}{because}, not {size}"
    return ""


def dim_from_json(value: Any) -> Dim:
    """Read back a size that `dataclasses.asdict` wrote."""
    if not isinstance(value, dict):
        return value  # TensorSpec checks it
    if "axis" in value:
        return AxisPart(**{**value, "axis": Axis(**value["axis"])})
    return Axis(**value)
