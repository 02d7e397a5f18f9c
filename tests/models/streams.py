"""Clips for networks that take one frame after the other, and the way through them in torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import nn

from cineflow.phantom import ShortAxisPhantom
from cineflow.runtime.feed import zero_states
from cineflow.spec import ModelSpec


@cache
def cine_mr(height: int, width: int, count: int = 3, step: int = 6) -> np.ndarray:
    """Frames of a short-axis cine-MR phantom, u8 [count, height, width]."""
    frames = ShortAxisPhantom(seed=0, size=(height, width), contrast="mr").frames
    return np.ascontiguousarray(frames[: count * step : step])


def as_input(frame: np.ndarray) -> torch.Tensor:
    """A frame as the networks see it: [1, 1, H, W] f32, 0..1."""
    return torch.from_numpy(frame).float()[None, None] / 255.0


def no_states(spec: ModelSpec, height: int, width: int) -> list[torch.Tensor]:
    """The states before the first frame."""
    states = zero_states(spec, {"height": height, "width": width})
    return [torch.from_numpy(one) for one in states.values()]


def run_through(
    module: nn.Module, spec: ModelSpec, frames: Sequence[np.ndarray]
) -> list[tuple[torch.Tensor, ...]]:
    """Everything that the network returns for each frame, states last."""
    states = no_states(spec, *frames[0].shape)
    results = []
    with torch.inference_mode():
        for frame in frames:
            outputs = module(as_input(frame), *states)
            states = list(outputs[len(spec.outputs) :])
            results.append(outputs)
    return results


def require_all_alive(module: nn.Module, outputs: Sequence[torch.Tensor]) -> None:
    """Fail unless every parameter changes some output.

    Args:
        module: Run with gradients, in eval mode.
        outputs: Its floating-point outputs.
    """
    generator = torch.Generator().manual_seed(0)
    total = sum((one * torch.randn(one.shape, generator=generator)).sum() for one in outputs)
    named = dict(module.named_parameters())
    gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    dead = [
        name
        for name, gradient in zip(named, gradients, strict=True)
        if gradient is None or not gradient.abs().max() > 0
    ]
    assert not dead, dead


def require_states_matter(
    module: nn.Module, spec: ModelSpec, frames: Sequence[np.ndarray], leave: Sequence[str] = ()
) -> None:
    """Fail unless a change of each state tensor changes an output of the next frame.

    Args:
        leave: States that are tested by themselves.
    """
    *_, last = run_through(module, spec, frames[:-1])
    states = list(last[len(spec.outputs) :])
    with torch.inference_mode():
        usual = module(as_input(frames[-1]), *states)[0]
        for position, state in enumerate(spec.states):
            if state.name in leave:
                continue
            changed = [*states]
            changed[position] = states[position] + 0.1
            other = module(as_input(frames[-1]), *changed)[0]
            assert (other - usual).abs().max() > 1e-4, state.name
