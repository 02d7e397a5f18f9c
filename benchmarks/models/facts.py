"""What a network is, whatever the machine: parameters, multiplications, feed, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch._subclasses import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cineflow.export import load_recipe
from cineflow.export.bundle import build_module
from cineflow.export.recipe import Recipe, spec_axes, trace_sizes
from cineflow.spec import FeedKind, ModelSpec

#: The recipes of the systems of the sources, in the order of the table.
SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "A": ("flow4d", "flow4d_window"),
    "B": ("joint_motion_seg",),
    "C": ("motion_scoring",),
    "D": (
        *("pairwise_motion", "pairwise_motion_reference", "pairwise_motion_window"),
        "pairwise_motion_refine",
    ),
    "E": ("keypoint_tracking", "flow_pwc", "flow_pwc_stream"),
}

#: The variants that each of them has.
VARIANTS = ("small", "paper")

#: Frames that a live source sends per second.
RATES = (30, 60)

#: Sizes of the axes that a model leaves open: those at which the sources work.
_SIZES = {
    "flow_pwc": {"height": 224, "width": 224},
    "joint_motion_seg": {"height": 192, "width": 192},
    "pairwise_motion": {"height": 128, "width": 128},
    "pairwise_motion_refine": {"height": 128, "width": 128, "time": 24},
    "motion_scoring": {"frames": 25, "height": 160, "width": 168},
    "flow4d": {"depth": 64, "height": 64, "width": 64},
}


@dataclass(frozen=True)
class Facts:
    """One network.

    Attributes:
        name: Of the recipe.
        variant: "small" or "paper".
        parameters: Trainable values.
        macs: Multiplications of convolutions and matrix products in one run, and of each frame of
            it. Our own operations are not counted.
        frames: Frames that one run is for: the hop of a window, else 1.
        feed: In words.
        outputs: Names of the outputs, with their roles.
        served: "stream" or "call".
        trained: Whether a checkpoint is included.
        size: Extents of the frame inputs' last axes, or of the first input of a call.
    """

    name: str
    variant: str
    parameters: int
    macs: int
    frames: int
    feed: str
    outputs: str
    served: str
    trained: bool
    size: str


def sizes_of(recipe: Recipe) -> dict[str, int]:
    """Sizes of the axes for a benchmark: the next that fit, as the client pads frames."""
    fitting_names = [name for name in _SIZES if recipe.name.startswith(name)]
    wanted = _SIZES[max(fitting_names, key=len)] if fitting_names else {}
    axes = spec_axes(recipe.spec)
    fitting = {
        key: -(-size // axes[key].multiple) * axes[key].multiple
        for key, size in wanted.items()
        if key in axes
    }
    return {**trace_sizes(recipe.spec), **fitting}


def facts_of(name: str, variant: str, given: Mapping[str, int] | None = None) -> Facts:
    """The facts of a built-in recipe or a recipe's file.

    Args:
        name: Its name or file.
        variant: Of it.
        given: Sizes of some axes, which replace those of `sizes_of`.
    """
    recipe = load_recipe(name, variant).with_sizes(given or {})
    sizes = sizes_of(recipe)
    module = build_module(recipe).eval()
    inputs = tuple(recipe.examples(sizes, 0).values())
    # Shapes only: nothing is computed.
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        state: dict[str, torch.Tensor] = {
            key: fake.from_tensor(value) for key, value in module.state_dict().items()
        }
        with FlopCounterMode(display=False) as counter:
            functional_call(module, state, tuple(map(fake.from_tensor, inputs)))
    feed = recipe.spec.feed
    return Facts(
        name=Path(name).stem,
        variant=variant,
        parameters=sum(one.numel() for one in module.parameters()),
        macs=counter.get_total_flops() // 2,
        frames=feed.hop if feed.kind == FeedKind.WINDOW else 1,
        feed=feed_words(recipe.spec),
        outputs=", ".join(
            f"{one.name} ({one.role})" if one.role and one.role != one.name else one.name
            for one in recipe.spec.outputs
        ),
        served="stream" if feed.streams else "call",
        trained=recipe.spec.weights.trained,
        size="x".join(map(str, inputs[0].shape[-feed.rank :] if feed.streams else inputs[0].shape)),
    )


def feed_words(spec: ModelSpec) -> str:
    """A feed in words ("reference, with state")."""
    feed = spec.feed
    words = str(feed.kind)
    if feed.kind == FeedKind.WINDOW:
        words += f" of {feed.length}, hop {feed.hop}"
    return words + (", with state" if spec.states else "")
