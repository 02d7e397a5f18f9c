"""Recipe: what an exportable model brings, in one Python file.

A recipe file may be anywhere on disk. It defines three names:

    SPEC = ModelSpec(...)                       inputs, outputs and states of the model
    def build() -> torch.nn.Module              the module; its forward takes the spec's inputs in
                                                order (then the states) and returns the outputs
    def example_inputs(sizes, seed)             a distinct torch tensor for each input, by name,
        -> dict[str, torch.Tensor]              with realistic values; `sizes`: axis name -> size

A model that comes in several variants, a small and a large one, defines two names instead:

    VARIANTS = {"small": ..., "paper": ...}     what each is made of; the first is the default
    def recipe(variant) -> Recipe               the recipe of one of these values
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cineflow.errors import CineflowError, ExportError
from cineflow.runtime.bundle import file_sha256, graph_inputs
from cineflow.spec import Axis, ModelSpec, TensorSpec
from cineflow.spec.axes import fix_dim

if TYPE_CHECKING:
    import torch

RECIPES_DIR = Path(__file__).resolve().parent / "recipes"

_TUTORIAL = "The export page of the docs shows a complete recipe"

#: What foreign code may raise: anything, SystemExit included. KeyboardInterrupt is the user's.
ANYTHING = (Exception, SystemExit)

#: Preferred size along a dynamic axis: traced near it, compared at other sizes as well.
PREFERRED_SIZE = 128

#: The same for volumes, whose voxels are many more.
PREFERRED_VOLUME_SIZE = 32


@dataclass(frozen=True)
class Recipe:
    """One exportable model.

    Attributes:
        spec: Inputs, outputs and states of the model.
        build: Makes the torch module, weights included.
        example_inputs: Makes distinct inputs by name, for sizes by axis name and a seed.
        origin: File the recipe came from, for messages.
        built_in: Whether it ships with cineflow and is found by its name.
        sha256: Of the file, hexadecimal; "" without a file.
        variant: Which one of the file's `VARIANTS`; "" where it has none.
        own_keys: Turns the state dict of a public checkpoint into that of the module, and returns
            any other one as it is.
        may_lack: Parts that a checkpoint may lack as a whole, by the beginning of their keys
            ("head."). They keep the weights that `build()` makes, and the model stays untrained.
        usual: Sizes by axis name that `usually` has fixed.
        whole: The spec with these axes still dynamic; None where none are fixed.
    """

    spec: ModelSpec
    build: Callable[[], torch.nn.Module]
    example_inputs: Callable[[Mapping[str, int], int], Mapping[str, torch.Tensor]]
    origin: str = "a Recipe object"
    built_in: bool = False
    sha256: str = ""
    variant: str = ""
    own_keys: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] = dict
    may_lack: tuple[str, ...] = ()
    usual: Mapping[str, int] = field(default_factory=dict)
    whole: ModelSpec | None = None

    @property
    def name(self) -> str:
        """Its file name without folder and suffix ("lucas_kanade")."""
        return Path(self.origin).stem

    @property
    def open_spec(self) -> ModelSpec:
        """The spec with every axis dynamic that `with_sizes` can fix."""
        return self.whole or self.spec

    def usually(self, sizes: Mapping[str, int]) -> Recipe:
        """This recipe with some dynamic axes fixed, which `with_sizes` can still change.

        For a network that is trained at one size. Arguments and errors as `with_sizes`.
        """
        return replace(self.with_sizes(sizes), usual=sizes, whole=self.spec)

    def with_sizes(self, sizes: Mapping[str, int]) -> Recipe:
        """This recipe with some dynamic axes fixed, for engines built for one size.

        Args:
            sizes: Size by axis name.

        Raises:
            ExportError: An axis is unknown or does not accept its size.
        """
        sizes = {**self.usual, **sizes}
        axes = spec_axes(self.open_spec)
        for name, size in sizes.items():
            if name not in axes or not axes[name].accepts(size):
                raise ExportError(
                    f"{name} within {axes[name].describe()}"
                    if name in axes
                    else f"a dynamic axis of {self.spec.name}: {', '.join(axes) or 'it has none'}",
                    f"{name} = {size}",
                    "Give --size another height and width"
                    if name in axes
                    else "Leave --size out: it fixes the axes height and width",
                )
        given, fixed = self.example_inputs, _fix_axes(self.open_spec, sizes)
        return replace(
            self,
            spec=replace(
                self.spec, inputs=fixed.inputs, outputs=fixed.outputs, states=fixed.states
            ),
            example_inputs=lambda others, seed: given({**sizes, **others}, seed),
        )

    def examples(self, sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
        """Example inputs in graph order, checked against the spec.

        Args:
            sizes: Size along each dynamic axis, by axis name.
            seed: Equal seeds give equal values.

        Raises:
            ExportError: The recipe fails, or its tensors do not fit its own spec, or two inputs
                share one tensor (the exporter would merge them into one).
        """
        try:
            given = dict(self.example_inputs(sizes, seed))
            ordered = {tensor.name: given.pop(tensor.name) for tensor in graph_inputs(self.spec)}
            known = dict(sizes)  # a figure of these sizes is only true of tensors of these sizes
            for tensor in graph_inputs(self.spec):
                tensor.check(ordered[tensor.name].numpy(), known)
        except ANYTHING as error:
            raise ExportError(
                f"example_inputs({dict(sizes)}, seed={seed}) of {self.origin} to fit its SPEC",
                _say(error),
                "Make it return one tensor by name for each input and state of the SPEC, in the "
                "sizes that it is given",
            ) from error
        if given:
            raise ExportError(
                f"example inputs only for the inputs of {self.origin}",
                f"{[*given]}",
                "Name them in the SPEC, or leave them out",
            )
        if len({value.data_ptr() for value in ordered.values()}) < len(ordered):
            raise ExportError(
                f"a distinct example tensor for every input of {self.origin}",
                "one tensor given twice",
                "The exporter merges inputs that share a tensor, and one of them is then unused",
            )
        return ordered


def builtin_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with cineflow, sorted."""
    return tuple(sorted(file.stem for file in RECIPES_DIR.glob("*.py") if file.stem[0] != "_"))


def load_recipe(source: str | Path, variant: str = "") -> Recipe:
    """Read a recipe by built-in name ("lucas_kanade") or from a Python file.

    Args:
        source: The name or the file.
        variant: One of the file's `VARIANTS`; "" means the first. Any other than the first is added
            to the model's name ("flow4d_paper").

    Raises:
        ExportError: There is no such recipe or variant, it does not import, or lacks a name.
    """
    built_in = isinstance(source, str) and source in builtin_recipes()
    if built_in:
        file = RECIPES_DIR / f"{source}.py"
    else:
        file = Path(source)
        if not file.is_file():
            raise ExportError(
                f"a recipe file or one of the built-in recipes {', '.join(builtin_recipes())}",
                repr(str(source)),
                "Give one of these names, or the path of a recipe: `cineflow export ./mine.py`",
            )
    found = _recipe_in(_import_file(file), file, variant)
    return replace(found, origin=file.name, built_in=built_in, sha256=file_sha256(file))


def _recipe_in(module: ModuleType, file: Path, variant: str) -> Recipe:
    """What a recipe's module defines."""
    variants: Mapping[str, Any] = getattr(module, "VARIANTS", {})
    if variant and variant not in variants:
        raise ExportError(
            f"a variant of {file.name}: {', '.join(variants) or 'it has none'}",
            repr(variant),
            "Give one of these as --variant, or leave it out for the first",
        )
    wanted = ("recipe",) if variants else ("SPEC", "build", "example_inputs")
    if missing := [name for name in wanted if not hasattr(module, name)]:
        raise ExportError(f"{', '.join(wanted)} in {file.name}", f"no {missing[0]}", _TUTORIAL)
    default = next(iter(variants), "")
    try:
        found: Any = (
            module.recipe(variants[variant or default])
            if variants
            else Recipe(module.SPEC, module.build, module.example_inputs)
        )
    except ANYTHING as error:
        raise ExportError(
            f"recipe({variant or default}) of {file.name} to return a Recipe",
            _say(error),
            _TUTORIAL,
        ) from error
    spec: Any = getattr(found, "spec", None)
    if not isinstance(found, Recipe) or not isinstance(spec, ModelSpec):
        got = type(found if variants else spec).__name__
        raise ExportError(f"SPEC of {file.name} to be a ModelSpec", got, _TUTORIAL)
    if variant and variant != default:
        spec = replace(spec, name=f"{spec.name}_{variant}")
    return replace(found, spec=spec, variant=variant or default)


def trace_sizes(spec: ModelSpec) -> dict[str, int]:
    """A size for every dynamic axis, so that swapped axes show.

    The sizes differ unless the axes do not accept enough sizes; see `axes_not_told_apart`.
    """
    axes = spec_axes(spec)
    preferred = PREFERRED_VOLUME_SIZE if spec.feed.volume else PREFERRED_SIZE
    wanted = {
        name: nearest_size(axis, preferred + rank * max(axis.multiple, 16))
        for rank, (name, axis) in enumerate(axes.items())
    }
    found: dict[str, int] = {}
    # An axis with few sizes chooses first.
    for name in sorted(axes, key=lambda one: len(_accepted(axes[one]))):
        free = [size for size in _accepted(axes[name]) if size not in found.values()]
        found[name] = min(free, key=lambda size: abs(size - wanted[name]), default=wanted[name])
    return {name: found[name] for name in axes}


def axes_not_told_apart(spec: ModelSpec) -> str:
    """The dynamic axes that `trace_sizes` cannot give different sizes, in words; "" without any."""
    sizes = trace_sizes(spec)
    same = [
        [name for name in sizes if sizes[name] == size] for size in dict.fromkeys(sizes.values())
    ]
    return "; ".join(
        f"{', '.join(names)} are all {sizes[names[0]]}" for names in same if len(names) > 1
    )


def _accepted(axis: Axis) -> range:
    """Every size that an axis accepts."""
    smallest = -(-axis.minimum // axis.multiple) * axis.multiple
    return range(smallest, axis.maximum + 1, axis.multiple)


def parity_sizes(spec: ModelSpec) -> list[dict[str, int]]:
    """Sizes at which torch and a runtime are compared: the traced, larger and smallest sizes.

    A model without dynamic axes has one entry.
    """
    axes = spec_axes(spec)
    if not axes:
        return [{}]
    traced = trace_sizes(spec)
    larger = {name: nearest_size(axes[name], 2 * size) for name, size in traced.items()}
    smallest = {name: nearest_size(axis, axis.minimum) for name, axis in axes.items()}
    unique = {tuple(sizes.items()): sizes for sizes in (traced, larger, smallest)}
    return list(unique.values())


def nearest_size(axis: Axis, size: int) -> int:
    """The next accepted size from `size` upwards, or else the largest one."""
    smallest = -(-axis.minimum // axis.multiple) * axis.multiple
    largest = axis.maximum // axis.multiple * axis.multiple
    return min(max(-(-size // axis.multiple) * axis.multiple, smallest), largest)


def spec_axes(spec: ModelSpec) -> dict[str, Axis]:
    """The dynamic axes of a spec's inputs and states, by name."""
    return {axis.name: axis for tensor in graph_inputs(spec) for axis in tensor.axes}


def _fix_axes(spec: ModelSpec, sizes: Mapping[str, int]) -> ModelSpec:
    def fix(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(
            replace(
                tensor,
                shape=tuple(fix_dim(dim, sizes) for dim in tensor.shape),
            )
            for tensor in tensors
        )

    return replace(
        spec, inputs=fix(spec.inputs), outputs=fix(spec.outputs), states=fix(spec.states)
    )


def _import_file(file: Path) -> ModuleType:
    name = f"cineflow_recipe_{file.stem}"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ExportError("a recipe that ends in .py", repr(str(file)), "Rename the file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickles inside look their module up by name
    try:
        found.loader.exec_module(module)
    except CineflowError:
        raise
    except ANYTHING as error:
        raise ExportError(
            f"{file.name} to import",
            f"{_say(error)}{_line_in(file, error)}",
            "Fix that line, or install what it imports",
        ) from error
    return module


def _line_in(file: Path, error: BaseException) -> str:
    """Where in `file` an error was raised (" in line 12"); "" if it was elsewhere."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file.absolute())]
    return f" in line {lines[-1]}" if lines else ""


def _say(error: Any) -> str:
    return f"{type(error).__name__}: {error}"
