"""A stranger's models on their way to the fleet: exported, verified, checked, built for each card.

`tests/kinds/conftest.py` exports; the export has compared ONNX Runtime with torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

from cineflow.export.check import ERROR, check_file
from cineflow.export.check.units import unit_of
from cineflow.export.engines.build import build_engines
from cineflow.export.verify import verify_bundle
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.store import EngineStore
from tests.kinds.conftest import NAMES, RECIPES

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)
#: Quick to export: one with a state at a quarter of the frame, one with whole numbers.
QUICK = ("conv_gru", "segmentation")


def by_name(quick: bool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [one for one in NAMES if (one in QUICK) == quick])


def verified(bundle: Bundle, name: str, report: Path) -> None:
    """Each output is compared in what it means, in fp32 and, where it has features, in fp16."""
    found = verify_bundle(bundle, RECIPES / f"{name}.py", write_to=report)
    assert found.passed, (found.findings, found.refusals, found.parity, found.beat)
    assert found.reference == "torch"
    units = {tensor.name: unit_of(tensor) for tensor in graph_outputs(bundle.spec)}
    assert {row.output: row.unit for row in found.parity} == units
    length = 8 if bundle.spec.states else 1
    assert {row.frames for row in found.parity} == {length}
    for row in found.parity:
        assert row.passed, row
        assert row.spread > 0, f"{row.output} is constant, so nothing was compared"
    assert not [one for one in check_file(bundle.onnx_path) if one.severity == ERROR]


def built(bundle: Bundle, capabilities: list[int], store: Path) -> None:
    for precision in ("fp32", "fp16"):
        engines = build_engines(
            bundle,
            "tensorrt-rtx",
            capabilities,
            precision=precision,
            store=EngineStore(store),
        )
        assert len(engines) == len(capabilities)
        for engine, new in engines:
            assert new
            assert not engine.fault
            assert engine.key is not None
            assert engine.key.precision == precision


@by_name(quick=True)
def test_a_stranger_s_model_is_verified(
    bundles: Mapping[str, Bundle], name: str, tmp_path: Path
) -> None:
    verified(bundles[name], name, tmp_path)


@needs_rtx
@by_name(quick=True)
def test_a_stranger_s_model_is_built(
    bundles: Mapping[str, Bundle], name: str, tmp_path: Path
) -> None:
    built(bundles[name], [86], tmp_path)


@pytest.mark.slow
@by_name(quick=False)
def test_every_kind_is_verified(bundles: Mapping[str, Bundle], name: str, tmp_path: Path) -> None:
    verified(bundles[name], name, tmp_path)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_is_built_for_three_generations(
    bundles: Mapping[str, Bundle], name: str, tmp_path: Path
) -> None:
    built(bundles[name], [86, 89, 120], tmp_path)
