"""Arrays of any library: which library an array belongs to, its device, and how to allocate one.

This module never imports torch or CuPy. If such an array arrives, its library is already
loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from cineflow import _C
from cineflow.errors import ArgumentError

#: A NumPy, torch or CuPy array. An op returns the kind that it was given.
Array: TypeAlias = Any

Kind = Literal["numpy", "torch", "cupy"]
Border = Literal["zeros", "clamp"]


def kind_of(name: str, array: Any) -> Kind:
    """The library that `array`, the argument `name`, belongs to.

    Raises:
        ArgumentError: It is not an array.
    """
    if isinstance(array, np.ndarray):
        return "numpy"
    for module, type_name in (("torch", "Tensor"), ("cupy", "ndarray")):
        library = sys.modules.get(module)
        if library is not None and isinstance(array, getattr(library, type_name)):
            return module  # type: ignore[return-value]
    raise ArgumentError(f"{name} as a NumPy, torch or CuPy array", type(array).__name__)


def shared_kind(names: Sequence[str], arrays: Sequence[Any], by_value: Sequence[int] = ()) -> Kind:
    """The library that all `arrays`, the arguments `names`, belong to.

    At the positions `by_value`, a CuPy call may also have a NumPy array of one row.

    Raises:
        ArgumentError: One of them is not an array, or belongs to another library than the first.
    """
    kinds = list(map(kind_of, names, arrays))
    kind = kinds[0]
    for at in by_value:
        if kind == "cupy" and kinds[at] == "numpy" and arrays[at].shape[:1] == (1,):
            kinds[at] = kind
    if kinds.count(kind) < len(kinds):
        name, other = next(item for item in zip(names, kinds, strict=False) if item[1] != kind)
        raise ArgumentError(f"every argument as a {kind} array", f"{name} as a {other} array")
    return kind


def require_array(name: str, array: Any, *forms: str) -> Kind:
    """The library of an array that has the axes in one of `forms`, such as "[N, C, H, W]".

    Raises:
        ArgumentError: It is not an array, or has the wrong rank.
    """
    kind = kind_of(name, array)
    require_rank(name, array, *forms)
    return kind


def rank_of(axes: str) -> int:
    """The number of axes in a form such as "[N, C, H, W]"."""
    return axes.count(",") + 1


def require_rank(name: str, array: Array, *forms: str) -> None:
    """Raise `ArgumentError` unless `array` has the number of axes in one of `forms`."""
    if array.ndim not in map(rank_of, forms):
        raise ArgumentError(f"{name} of shape {' or '.join(forms)}", f"shape {list(array.shape)}")


def all_numpy(arrays: Sequence[Any]) -> bool:
    """Whether all are plain NumPy arrays. The usual case, because calls on small arrays are short.

    A subclass gives False; `shared_kind` knows it.
    """
    for array in arrays:  # noqa: SIM110, a generator takes longer than the check
        if type(array) is not _ndarray:
            return False
    return True


_ndarray = np.ndarray


def is_clamp(border: str) -> bool:
    """Whether `border` is "clamp"; raises `ArgumentError` unless it is "clamp" or "zeros"."""
    if isinstance(border, str):
        if border == "zeros":
            return False
        if border == "clamp":
            return True
    raise ArgumentError('border "zeros" or "clamp"', repr(border))


def empty_output(
    src: Any, shape: Sequence[int], *, keep_layout: bool = True, to_bytes: bool = False
) -> Any:
    """An uninitialised array for an op's result, of `src`'s library and device.

    u8 images give f32 results; every other storage type is kept, unless `to_bytes` asks for u8. If
    `src` [N, C, ..., W] is channels-last in memory, the result is, unless `keep_layout` is False.

    Raises:
        ArgumentError: The kernels refuse images of that size. No memory is allocated.
    """
    _require_bounded(shape[2:])
    channels_last = keep_layout and is_channels_last(src)
    new_empty = getattr(src, "new_empty", None)
    if new_empty is not None:
        torch: Any = sys.modules["torch"]
        if src.dtype is not torch.uint8 and not channels_last and not to_bytes:
            return new_empty(*shape)  # torch reads numbers faster than a tuple of them
        module = torch
    else:
        module = sys.modules[kind_of("src", src)]
    permuted = (shape[0], *shape[2:], shape[1]) if channels_last else shape
    dtype = module.float32 if src.dtype == module.uint8 else src.dtype
    if to_bytes:
        dtype = module.uint8
    if new_empty is not None:
        result = new_empty(permuted, dtype=dtype)
    else:
        result = module.empty(permuted, dtype=dtype)
    return module.moveaxis(result, -1, 1) if channels_last else result


def _require_bounded(sides: Sequence[Any]) -> None:
    """Check the sides of an image or volume against the kernels' limits.

    Symbolic sizes are not known yet.
    """
    count = 1
    for side in sides:
        if type(side) is not int:
            if not isinstance(side, (int, np.integer)):
                return
            side = int(side)
        count *= side
    if count >= _C.SIDE_LIMIT:
        require_sides("out", sides)
    if count >= _C.PLANE_LIMIT:
        what = "volumes" if len(sides) == 3 else "planes"
        raise ArgumentError(
            f"out with {what} of fewer than {_C.PLANE_LIMIT} elements",
            " x ".join(map(str, sides)),
        )


def require_sides(name: str, sides: Sequence[int]) -> None:
    """Raise `ArgumentError` where f32 cannot count the pixels along a side of the image `name`."""
    if max(sides) >= _C.SIDE_LIMIT:
        raise ArgumentError(f"{name} with sides below {_C.SIDE_LIMIT}", str(max(sides)))


def is_channels_last(array: Any) -> bool:
    """Whether the channels of `array` [N, C, ..., W] are adjacent in memory."""
    if array.shape[1] == 1:
        return False
    if hasattr(array, "stride"):  # torch counts elements, NumPy and CuPy bytes
        steps = array.stride()
        unit = 1
    else:
        steps = array.strides
        unit = array.itemsize
    return bool(array.shape[1] > 1 and steps[1] == unit and steps[-1] != unit)


def current_stream(array: Any) -> int:
    """Handle of the current stream of `array`'s library on its device; 0 on the CPU.

    CuPy's is that of the current device: `cineflow.ops.dispatch` makes the array's device current.
    """
    if isinstance(array, _ndarray):
        return 0
    on_gpu = getattr(array, "is_cuda", None)  # torch's
    if on_gpu is None:
        return int(sys.modules["cupy"].cuda.get_current_stream().ptr)
    return int(sys.modules["torch"].cuda.current_stream(array.device).cuda_stream) if on_gpu else 0
