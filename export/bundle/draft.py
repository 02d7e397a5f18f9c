"""The first version of a spec for an ONNX file: what the file says, and guesses marked as such."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import onnx

from cineflow.export.check.lint import read_onnx
from cineflow.export.check.rules import dims, fed_inputs

#: Guesses end with this, so that a person finds them.
GUESS = "# guess"

#: What a size is called by its place from the end.
_PLACES = ("width", "height", "depth")

#: Names of the output of a state, from that of its input.
_NEXT = ("{0}N", "{0}_n", "{0}_out", "{0}_next", "{0}_new", "new_{0}", "next_{0}", "out_{0}")


def draft_spec(file: str | Path) -> str:
    """A spec as YAML that `read_spec_file` takes, with every guess marked.

    Raises:
        ExportError: The file is missing or is not ONNX.
    """
    model = read_onnx(file)
    inputs, outputs = fed_inputs(model), list(model.graph.output)
    states = _state_pairs(inputs, outputs)
    paired = {value.name for pair in states for value in pair}
    inputs = [value for value in inputs if value.name not in paired]
    outputs = [value for value in outputs if value.name not in paired]
    axes: dict[str, str] = {}
    frames = [value.name for value in inputs if _is_frame(value)]
    kind = {1: "frame", 2: "pair"}.get(len(frames), "call")
    lines = [
        f"# Of {Path(file).name}. Correct every line that ends in '{GUESS}', and fill in the rest.",
        f"name: {_identifier(Path(file).stem)}  {GUESS}",
        f"summary: What it computes.  {GUESS}",
        'source: ""',
        f"feed: {{kind: {kind}, inputs: [{', '.join(frames if kind != 'call' else [])}]}}  {GUESS}",
    ]
    body = ["inputs:"]
    for value in inputs:
        unit = "grey level" if kind != "call" and value.name in frames else '"1"'
        body += [*_tensor(value, axes), f"    unit: {unit}  {GUESS}"]
    body.append("outputs:")
    for value in outputs:
        role = _role(value, kind)
        body += [*_tensor(value, axes), f"    unit: {'px' if role else repr('1')}  {GUESS}"]
        body.append(f"    tolerance: 0.01  {GUESS}")
        if role:
            body.append(f"    role: {role}  {GUESS}")
    if states:
        body.append("states:")
    for one, other in states:
        stem = re.sub(r"_in$", "", one.name)
        body += _tensor(one, axes, name=_identifier(stem))
        body.append(f"    input: {_text(one.name)}  {GUESS}")
        body.append(f"    output: {_text(other.name)}  {GUESS}")
        body += [f"    unit: {'1'!r}  {GUESS}", f"    tolerance: 0.01  {GUESS}"]
    if axes:
        lines.append("axes:")
        lines += axes.values()
    return "\n".join([*lines, *body]) + "\n"


def _tensor(value: onnx.ValueInfoProto, axes: dict[str, str], name: str = "") -> list[str]:
    """Name, dtype and shape; new axes are added with a guessed range."""
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    shape, guessed = [], False
    sizes = dims(value)
    for position, size in enumerate(sizes):
        if isinstance(size, int):
            shape.append(str(size))
            continue
        place = len(sizes) - 1 - position
        if size == "?":
            guessed = True
            if position == 0 and len(sizes) > 2:
                shape.append("1")  # a batch of one
                continue
            size = _PLACES[place] if place < len(_PLACES) else f"axis_{position}"
        note = f"  {GUESS}"
        axes.setdefault(
            size, f"  - {{name: {_text(size)}, minimum: 32, maximum: 512, multiple: 8}}{note}"
        )
        shape.append(_text(size))
    ours = name or _identifier(value.name)
    lines = [f"  - name: {ours}"]
    if not name and ours != value.name:
        lines.append(f"    in_file: {_text(value.name)}")
    lines.append(f"    dtype: {kind}")
    lines.append(f"    shape: [{', '.join(shape)}]" + (f"  {GUESS}" if guessed else ""))
    return lines


def _state_pairs(
    inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
) -> list[tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]]:
    """Inputs that come back as an output of the next name, type and shape (`state` -> `stateN`).

    `image_in` with `image_out` is a frame and its result, not a state.
    """
    by_name = {value.name: value for value in outputs}
    pairs = []
    for value in inputs:
        stem = re.sub(r"_(in|prev|0)$", "", value.name)
        if re.search(r"image|frame|img", stem):
            continue
        names = [pattern.format(one) for one in (value.name, stem) for pattern in _NEXT]
        for name in names:
            other = by_name.get(name)
            if other is not None and other.type == value.type:
                pairs.append((value, other))
                break
    return pairs


def _is_frame(value: onnx.ValueInfoProto) -> bool:
    """Whether an input looks like one frame: [1, 1 or 3, H, W] or a volume."""
    sizes = dims(value)
    return len(sizes) in (4, 5) and sizes[1] in (1, 3)


def _role(value: onnx.ValueInfoProto, kind: str) -> str:
    sizes = dims(value)
    is_field = (len(sizes), sizes[1:2]) in ((4, [2]), (5, [3]))
    return "flow" if kind == "pair" and is_field else ""


def _identifier(name: str) -> str:
    words = re.sub(r"\W+", "_", name).strip("_").lower() or "model"
    return words if words[0].isalpha() else f"x_{words}"


def _text(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f'"{name}"'
