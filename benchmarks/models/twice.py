"""The forms that encode both frames of a pair: what encoding each frame once is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.models.facts import sizes_of
from cineflow.export import load_recipe
from cineflow.export.bundle import build_module
from cineflow.models.blocks import pyramid_of
from cineflow.models.flow_pwc import FlowPwc, FlowPwcStream
from cineflow.models.joint_motion_seg import JointMotionSeg
from cineflow.models.motion_scoring import MotionScoring, later
from cineflow.models.pairwise_motion import PairwiseMotion
from cineflow.spec import Feed, FeedKind, ModelSpec


@dataclass(frozen=True)
class Form:
    """A network with its border and the inputs of one run.

    Attributes:
        module: In eval mode.
        spec: Its inputs, states and outputs, with fixed sizes.
        inputs: By name, in the order of `module.forward`.
    """

    module: nn.Module
    spec: ModelSpec
    inputs: Mapping[str, Tensor]


def forms_of(name: str, variant: str, given: Mapping[str, int]) -> tuple[Form, Form]:
    """A network that encodes each frame once, and the same one encoding both frames of a pair.

    Both get the same two frames and give the same results.

    Args:
        name: Of a recipe in `ENCODING_ONCE`.
        variant: Of it.
        given: Sizes of some axes, which replace those of `sizes_of`.
    """
    recipe = load_recipe(name, variant).with_sizes(given)
    recipe = recipe.with_sizes({**sizes_of(recipe), **_FEWER.get(name, {})})
    module, spec = build_module(recipe).eval(), recipe.spec
    inputs = recipe.examples({}, 0)
    both = ENCODING_ONCE[name](module).eval()
    if spec.feed.kind == FeedKind.CALL:  # frames of one study
        return Form(module, spec, inputs), Form(both, spec, inputs)
    current = inputs["current"]
    first = current.flip(-1).contiguous()
    begun = {f"{one.name}_in": torch.zeros_like(inputs[f"{one.name}_in"]) for one in spec.states}
    with torch.inference_mode():
        after = module(first, *begun.values())[len(spec.outputs) :]
    states = {key: value.clone() for key, value in zip(begun, after, strict=True)}
    kept = [one for one in spec.states if one.name not in _NOT_KEPT]
    frame = next(one for one in spec.inputs if one.name == "current")
    twice = replace(
        spec,
        inputs=(replace(frame, name="first"), frame),
        states=tuple(kept),
        feed=Feed(spec.feed.kind, ("first", "current")),
    )
    own = {f"{one.name}_in": states[f"{one.name}_in"] for one in kept}
    return (
        Form(module, spec, {"current": current, **states}),
        Form(both, twice, {"first": first, "current": current, **own}),
    )


#: Fewer frames of a study than `sizes_of` has: the gain is the same, and it takes less memory.
_FEWER: Mapping[str, Mapping[str, int]] = {"motion_scoring": {"frames": 8}}

#: States that the form with both frames does without.
_NOT_KEPT = ("begun", *(f"{what}{k}" for what in ("features", "half") for k in range(1, 6)))


class _Joint(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, JointMotionSeg)
        self.network = network

    def forward(self, first: Tensor, current: Tensor, motion: Tensor) -> tuple[Tensor, ...]:
        """The outputs for two frames, and the motion after them."""
        features, now = (pyramid_of(self.network.conv_blocks, one) for one in (first, current))
        return self.network.between(self.network.target_of(features), now, current, motion)


class _Pairwise(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, PairwiseMotion)
        self.network = network

    def forward(
        self,
        first: Tensor,
        current: Tensor,
        hidden1: Tensor,
        hidden2: Tensor,
        hidden3: Tensor,
        hidden4: Tensor,
        hidden5: Tensor,
    ) -> tuple[Tensor, ...]:
        """The motion of a pair, and the hidden states after it."""
        before, now = (pyramid_of(self.network.encoder, one) for one in (first, current))
        hidden = (hidden1, hidden2, hidden3, hidden4, hidden5)
        motion, after = self.network.between(before, now, hidden)
        return (motion, *after)


class _Pwc(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, FlowPwcStream)
        self.network = network

    def forward(self, first: Tensor, current: Tensor) -> Tensor:
        """The flow of a pair, as `flow_pwc` computes it."""
        return FlowPwc.forward(self.network, first, current)


class _Scoring(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, MotionScoring)
        self.network = network

    def forward(self, cines: Tensor, landmarks: Tensor) -> tuple[Tensor, ...]:
        """The scores of a study."""
        flow = self.network.flow
        slices = self.network.polar(cines, landmarks)
        frames = slices.flatten(0, 1)[:, None]
        pairs = zip(flow.encode(frames), flow.encode(later(frames)), strict=True)
        return self.network.scored(slices, flow.decode(list(pairs)))


#: Recipes that encode each frame once where their source's network encodes both frames of a pair.
ENCODING_ONCE: Mapping[str, Callable[[nn.Module], nn.Module]] = {
    "joint_motion_seg": _Joint,
    "motion_scoring": _Scoring,
    "pairwise_motion": _Pairwise,
    "pairwise_motion_reference": _Pairwise,
    "flow_pwc_stream": _Pwc,
}
