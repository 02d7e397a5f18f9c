"""How much faster a network is that encodes each frame once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.export.models import EAGER, LIBRARY, PAUSE_S
from benchmarks.export.timing import in_turn
from benchmarks.models.speed import Say
from benchmarks.models.twice import Form, forms_of
from cineflow.export.graph.trace import trace_module
from cineflow.runtime.engines.onnxruntime import register_op_library, session_options

#: Share of the predicted gain that is asked for.
LEAST = 0.9

#: Both forms together run for about this long in a runtime, in `_FEWEST` rounds at least.
_SECONDS, _FEWEST = 10.0, 12


def gain_of(
    name: str, variant: str, rounds: int, threads: int, given: Mapping[str, int], say: Say
) -> dict[str, Any]:
    """A network that encodes each frame once, and its form that encodes both frames, in turn.

    Args:
        name: Of a recipe in `twice.ENCODING_ONCE`.
        variant: Of it.
        rounds: Runs that count; fewer of a slow network.
        threads: Of each runtime.
        given: Sizes of some axes, which replace those of `facts.sizes_of`.
        say: Called with each step.

    Returns:
        `model`, `variant` and `size` of the frames; `predicted`: multiplications of the form with
        both frames, over those of the network; `gains` by runtime: the same of their shortest
        times; `median_gains`: of their medians; `ms` by runtime of both, the network first.
    """
    forms = dict(zip(("once", "twice"), forms_of(name, variant, given), strict=True))
    macs = {key: macs_of(form) for key, form in forms.items()}
    ms = {}
    for runtime, opened in ((EAGER, _in_torch), (LIBRARY, _in_onnxruntime)):
        say(f"{runtime}: opens both forms")
        calls = {key: opened(form, threads) for key, form in forms.items()}
        start = time.perf_counter()
        for call in calls.values():
            call()  # the first one plans its memory
        rounds_of_it = round(_SECONDS / 2 / (time.perf_counter() - start))
        times = in_turn(calls, min(rounds, max(_FEWEST, rounds_of_it)), pause_s=PAUSE_S)
        ms[runtime] = [times[key].to_dict() for key in forms]
    return {
        "model": name,
        "variant": variant,
        "size": "x".join(map(str, forms["once"].spec.inputs[0].shape[-2:])),
        "predicted": macs["twice"] / macs["once"],
        "gains": {key: twice["best"] / once["best"] for key, (once, twice) in ms.items()},
        "median_gains": {
            key: twice["median"] / once["median"] for key, (once, twice) in ms.items()
        },
        "ms": ms,
    }


def macs_of(form: Form) -> int:
    """Multiplications of convolutions and matrix products in one run."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        form.module(*form.inputs.values())
    return int(counter.get_total_flops()) // 2


def _in_torch(form: Form, threads: int) -> Callable[[], object]:
    torch.set_num_threads(threads)

    def run() -> None:
        with torch.inference_mode():
            form.module(*form.inputs.values())

    return run


def _in_onnxruntime(form: Form, threads: int) -> Callable[[], object]:
    model = trace_module(form.module, form.spec, form.inputs)
    options = session_options(onnxruntime, threads)
    register_op_library(options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, file)
        session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    arrays: dict[str, np.ndarray] = {key: value.numpy() for key, value in form.inputs.items()}
    return lambda: session.run(None, arrays)
