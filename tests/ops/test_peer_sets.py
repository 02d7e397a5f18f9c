"""`benchmarks.ops --isa` holds the other libraries to the same instruction set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ops import instruction_sets
from cineflow import _C

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from benchmarks.ops import instruction_sets
instruction_sets.hold("avx2")
import numpy as np
from cineflow import _C, ops
image = np.zeros((1, 1, 64, 64), np.float32)
flow = np.zeros((1, 2, 64, 64), np.float32)
_C.set_instruction_set("avx2")
held = instruction_sets.used_avx512(lambda: ops.warp(image + image, flow))
_C.set_instruction_set("avx512")
free = instruction_sets.used_avx512(lambda: ops.warp(image, flow))
print(json.dumps([instruction_sets.reported(), held, free]))
"""
#: What each library says where AVX2 is the widest set that it may use.
AVX2 = {
    "torch": "AVX2",
    "MKL": "AVX2",
    "NumPy": "X86_V3",
    "OpenCV": "AVX2",
    "IPP": "AVX2",
    "OpenVINO": "jit_avx2_f32",
}


def test_every_library_says_avx2_and_none_uses_avx512() -> None:
    before = _C.instruction_set()
    if not _C.set_instruction_set("avx512"):
        pytest.skip("this machine has no AVX-512")
    _C.set_instruction_set(before)
    # Not under a preloaded libasan, as in test_sanitizers.py: OpenVINO does not load there.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    reported, held, free = json.loads(done.stdout)
    assert {"torch", "NumPy", "OpenCV"} <= reported.keys()
    assert reported == {library: AVX2[library] for library in reported}
    assert (held, free) in ((False, True), (None, None)), "None: the kernel does not say"


def test_a_peer_without_a_switch_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for seen, held, peer, expected in (
        (None, None, "cv2.remap", "any"),
        (False, "avx2", "cv2.remap", "avx2"),
        (True, "avx2", "torch grid_sample, converted", "avx512"),
        (False, "baseline", "SciPy map_coordinates", "any"),
        (False, "baseline", "cv2.remap", "baseline"),
    ):
        monkeypatch.setattr(instruction_sets, "used_avx512", lambda call, seen=seen: seen)
        assert instruction_sets.set_of(peer, lambda: None, held) == expected
