"""The GPU's cases of pairs of maps, on the CPU: each compares our result with its peer's."""

from __future__ import annotations

import pytest

from benchmarks.gpu import pair_cases


@pytest.mark.parametrize("make", ["raft_volume", "raft_lookup", "raft_on_demand"])
def test_raft(make):
    case = getattr(pair_cases, make)(8, 24, "cpu")
    assert case.bytes > 0
    for run in (case.ours, *case.torch_peers.values()):
        run()


def test_patches(monkeypatch):
    monkeypatch.setattr(pair_cases, "MAPS", ((1, 64), (8, 32)))
    case = pair_cases.patch_correlation((4, 4), "cpu")
    assert len(case.ours()) == len(case.torch_peers.popitem()[1]()) == 2


@pytest.mark.parametrize("refinements", [0, 2])
def test_a_level_of_the_tracker(refinements):
    case = pair_cases.lucas_kanade_step(64, refinements, "cpu")
    assert case.bytes > 0
    for run in (case.ours, *case.torch_peers.values()):
        run()
