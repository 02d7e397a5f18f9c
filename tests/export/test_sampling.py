"""GridSample never names linear: bodies, traced nodes, imported files, and what parsers read."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
import torch
from torch.nn import functional

from cineflow.errors import EngineError
from cineflow.export import builtin_recipes
from cineflow.export.bundle.imported import import_bundle
from cineflow.export.bundle.module import build_module
from cineflow.export.check import ERROR, lint_model
from cineflow.export.check.targets import grid_sample_rank
from cineflow.export.engines.builder import EngineBuild
from cineflow.export.graph import trace_module
from cineflow.export.graph.sampling import (
    Sampling,
    leave_linear_unnamed,
    named_linear,
    sampling_of,
)
from cineflow.export.recipe import load_recipe, trace_sizes
from cineflow.runtime import Bundle
from cineflow.spec import ModelSpec, TensorSpec

ROOT = Path(__file__).resolve().parents[2]

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
NAMED = """
main (float[1,1,8,8] x, float[1,8,8,2] g) => (float[1,1,8,8] y)
{ c = Clip (g) y = GridSample <mode: string = "linear", align_corners: int = 1> (x, c) }
"""
SPEC = """
name: sampler
summary: Samples a frame.
feed: {kind: call}
inputs:
  - {name: x, dtype: float32, unit: grey level, shape: [1, 1, 8, 8]}
  - {name: g, dtype: float32, unit: "1", shape: [1, 8, 8, 2]}
outputs:
  - {name: y, dtype: float32, unit: grey level, tolerance: 0.01, shape: [1, 1, 8, 8]}
"""


def parse(text: str, head: str = HEAD) -> onnx.ModelProto:
    return onnx.parser.parse_model(head + text)


def test_no_graph_of_the_default_model_names_linear() -> None:
    model = onnx.load(Bundle.load("lucas_kanade").onnx_path)
    assert sampling_of(model)[Sampling()] == 3
    assert named_linear(model) == []


class Sampler(torch.nn.Module):
    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        nearest = functional.grid_sample(x, grid, mode="nearest", align_corners=True)
        return functional.grid_sample(x, grid, align_corners=False), nearest


def test_traced_nodes_keep_every_mode_but_linear() -> None:
    image = TensorSpec("x", "float32", (1, 1, 8, 8), "grey level")
    grid = TensorSpec("grid", "float32", (1, 8, 8, 2), "1")
    outputs = tuple(
        TensorSpec(name, "float32", (1, 1, 8, 8), "grey level", tolerance=0.1) for name in "yz"
    )
    spec = ModelSpec("sampler", "Samples.", (image, grid), outputs)
    examples = {"x": torch.rand(1, 1, 8, 8), "grid": torch.rand(1, 8, 8, 2)}
    model = trace_module(Sampler().eval(), spec, examples)
    assert named_linear(model) == []
    nearest = Sampling("nearest", "zeros", align_corners=True)
    assert sampling_of(model) == Counter({Sampling(): 1, nearest: 1})


def test_a_named_mode_is_an_error_and_import_leaves_it_out(tmp_path: Path) -> None:
    model = parse(NAMED)
    (found,) = [one for one in lint_model(model) if one.rule == "grid-mode"]
    assert found.severity == ERROR
    assert "TensorRT-RTX before 1.6" in found.message
    onnx.save(model, tmp_path / "net.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC)
    bundle = import_bundle(tmp_path / "net.onnx", tmp_path / "spec.yaml", tmp_path / "out")
    assert named_linear(onnx.load(bundle.onnx_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        NAMED.replace('mode: string = "linear", ', ""),
        NAMED.replace("linear", "nearest"),
    ],
)
def test_other_forms_are_not_reported(text: str) -> None:
    assert not [one for one in lint_model(parse(text)) if one.rule == "grid-mode"]


def test_the_older_name_is_kept_and_means_the_same() -> None:
    older = parse(NAMED.replace("linear", "bilinear"), HEAD.replace("20", "16"))
    before = older.SerializeToString()
    assert leave_linear_unnamed(older) == 0
    assert older.SerializeToString() == before
    assert sampling_of(older) == {Sampling(align_corners=True): 1}


def test_nodes_in_branches_and_functions_are_found() -> None:
    node = 'y = GridSample <mode: string = "linear"> (x, g)'
    branch = "() => (float[1,1,8,8] y) {"
    text = f"""
    main (float[1,1,8,8] x, float[1,8,8,2] g, bool t) => (float[1,1,8,8] z) {{
      a = If (t) <then_branch = yes {branch} {node} }}, else_branch = no {branch} y = Relu (x) }}>
      z = vendor.Moved (a, g)
    }}
    <domain: "vendor", opset_import: ["" : 20]> Moved (x, g) => (y) {{ {node} }}"""
    model = parse(text, HEAD.replace("20]", '20, "vendor" : 1]'))
    assert leave_linear_unnamed(model) == 2
    assert named_linear(model) == []
    assert sampling_of(model) == {Sampling(): 2}


@needs_rtx
def test_the_builder_refuses_what_the_parser_misreads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads nearest where the graph means linear: here the graph's text lies."""
    import tensorrt_rtx as trt

    build = EngineBuild(trt, "tensorrt-rtx", "net", parse(NAMED), 86, ({}, {}, {}))
    assert build()
    monkeypatch.setattr(
        "cineflow.export.engines.builder.sampling_of",
        lambda model: Counter({Sampling("nearest", "zeros", align_corners=True): 1}),
    )
    with pytest.raises(EngineError, match=r"nearest, zeros.*got 1 x \(linear, zeros"):
        build()


# -- every version of TensorRT-RTX that pip gives --------------------------------------------------

#: Runs in a process whose first `tensorrt_rtx` is the version under test.
PARSE = """
import json, sys
import onnx
import tensorrt_rtx as trt
from cineflow.export.engines.builder import parsed_sampling
from cineflow.export.graph.sampling import sampling_of

found = {"version": trt.__version__}
for file in sys.argv[1:]:
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    model = onnx.load(file)
    parsed = parser.parse(model.SerializeToString())
    found[file] = [parsed, *(sorted(map(str, count.elements()))
                             for count in (sampling_of(model), parsed_sampling(trt, network)))]
print(json.dumps(found))
"""

VERSIONS = ("1.4", "1.5", "1.6", "1.7")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Every graph of ours: the built-in models, all ops, and each example."""
    folder = tmp_path_factory.mktemp("graphs")
    examples = sorted(ROOT.glob("examples/**/*.py"))
    built_in = builtin_recipes()
    ours = [*built_in, *examples, ROOT / "tests/export/all_ops_recipe.py"]
    written = {}
    for source in ours:
        recipe = load_recipe(source)
        tensors = recipe.examples(trace_sizes(recipe.spec), seed=0)
        model = trace_module(build_module(recipe), recipe.spec, tensors)
        file = folder / f"{recipe.spec.name}.onnx"
        onnx.save(model, file)
        written[recipe.spec.name] = file
    named = folder / "named.onnx"
    onnx.save(parse(NAMED), named)
    return written | {"named": named}


def parsed_by(version: str, graphs: Mapping[str, Path], folder: Path) -> dict[str, object]:
    """What this version's parser reads; skips where pip cannot give it."""
    packages = [f"tensorrt-rtx-cu13-{part}=={version}.*" for part in ("libs", "bindings")]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    installed = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"pip has no TensorRT-RTX {version}: {installed.stderr.strip()[-200:]}")
    ran = subprocess.run(
        [sys.executable, "-c", PARSE, *map(str, graphs.values())],
        capture_output=True, text=True, check=False, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


@needs_rtx
@pytest.mark.slow
@pytest.mark.timeout(1800)  # the first one traces every graph
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_reads_every_graph_of_ours_as_linear(
    version: str, graphs: Mapping[str, Path], tmp_path: Path
) -> None:
    found = parsed_by(version, graphs, tmp_path)
    assert str(found["version"]).startswith(version)
    misread = version in ("1.4", "1.5")
    for name, file in graphs.items():
        parsed, meant, read = found[str(file)]  # type: ignore[misc]
        if misread and grid_sample_rank(onnx.load(file)) > 4:
            assert not parsed, name  # refused aloud, and by `engine build` before that
            continue
        assert parsed, name
        if name == "named":  # the fault itself, so that this test can fail
            assert (meant != read) is misread
            assert all(("nearest" in how) is misread for how in read)
            continue
        assert meant == read, name
        assert all(how.startswith("linear") for how in read), name
