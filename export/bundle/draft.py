"""The first version of a spec for an ONNX file: what the file says, and guesses marked as such."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from cineflow.export.check.lint import read_onnx
from cineflow.export.check.rules import dims, fed_inputs

#: Guesses end with this, so that a person finds them.
GUESS = "# guess"

#: The range that is guessed for a dynamic size.
_MINIMUM, _MAXIMUM, _MULTIPLE = 32, 512, 8

#: Words that YAML reads as a truth value or as nothing.
_YAML_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")

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
    stems = [re.sub(r"_in$", "", one.name) for one, _ in states]
    names = _Names([*(value.name for value in (*inputs, *outputs)), *stems])
    axes = _Axes()
    frames = [value.name for value in inputs if _is_frame(value)]
    kind = {1: "frame", 2: "pair"}.get(len(frames), "call")
    fed = [names[name] for name in frames] if kind != "call" else []
    lines = [
        f"# Of {Path(file).name}. Correct every line that ends in '{GUESS}', and fill in the rest.",
        f"name: {_text(_identifier(Path(file).stem))}  {GUESS}",
        f"summary: What it computes.  {GUESS}",
        'source: ""',
        f"feed: {{kind: {kind}, inputs: [{', '.join(map(_text, fed))}]}}  {GUESS}",
    ]
    body = ["inputs:"]
    for value in inputs:
        unit = "grey level" if kind != "call" and value.name in frames else '"1"'
        body += [*_tensor(value, axes, names[value.name]), *_in_file(value, names)]
        body.append(f"    unit: {unit}  {GUESS}")
    body.append("outputs:")
    for value in outputs:
        role = _role(value, kind)
        body += [*_tensor(value, axes, names[value.name]), *_in_file(value, names)]
        body.append(f"    unit: {'px' if role else repr('1')}  {GUESS}")
        body.append(f"    tolerance: 0.01  {GUESS}")
        if role:
            body.append(f"    role: {role}  {GUESS}")
    if states:
        body.append("states:")
    for (one, other), stem in zip(states, stems, strict=True):
        body += _tensor(one, axes, names[stem])
        body.append(f"    input: {_text(one.name)}  {GUESS}")
        body.append(f"    output: {_text(other.name)}  {GUESS}")
        body += [f"    unit: {'1'!r}  {GUESS}", f"    tolerance: 0.01  {GUESS}"]
    return "\n".join([*lines, *axes.lines(), *body]) + "\n"


class _Names(dict[str, str]):
    """Names in the file -> names that a spec can have, each once."""

    def __init__(self, theirs: Iterable[str]) -> None:
        super().__init__()
        for name in theirs:
            self[name] = _free(_identifier(name), self.values())


class _Axes:
    """The dynamic sizes of a file, as axes that a spec can have and parts of them.

    `height//4`, as torch writes it, is `height / 4`. What no spec can say becomes an axis of its
    own with a name that one can have.
    """

    def __init__(self) -> None:
        self._named: dict[str, str] = {}
        self._multiples: dict[str, int] = {}

    def size(self, symbol: str) -> str:
        """A size of the file in the words of a spec; new axes are added."""
        part = re.fullmatch(r"\(?\s*([A-Za-z_]\w*)\s*//\s*([1-9]\d*)\s*\)?", symbol)
        if part is not None:
            axis = self._axis(part[1])
            self._multiples[axis] = math.lcm(self._multiples[axis], int(part[2]))
            return f"{axis} / {part[2]}"
        if times := re.fullmatch(r"\(?\s*([1-9]\d*)\s*\*\s*([A-Za-z_]\w*)\s*\)?", symbol):
            return f"{self._axis(times[2])} * {times[1]}"
        if times := re.fullmatch(r"\(?\s*([A-Za-z_]\w*)\s*\*\s*([1-9]\d*)\s*\)?", symbol):
            return f"{self._axis(times[1])} * {times[2]}"
        return _text(self._axis(symbol))

    def lines(self) -> list[str]:
        """The axes as YAML, each with a guessed range."""
        found = [
            f"  - {{name: {_text(name)}, minimum: {_MINIMUM}, maximum: "
            f"{max(_MAXIMUM, multiple)}, multiple: {multiple}}}  {GUESS}"
            for name, multiple in self._multiples.items()
        ]
        return ["axes:", *found] if found else []

    def _axis(self, symbol: str) -> str:
        if symbol not in self._named:
            plain = re.fullmatch(r"[A-Za-z_]\w*", symbol, re.ASCII)
            name = symbol if plain else _identifier(symbol)
            self._named[symbol] = _free(name, self._multiples)
            self._multiples[self._named[symbol]] = _MULTIPLE
        return self._named[symbol]


def _free(name: str, taken: Container[str]) -> str:
    """`name`, or with a number behind it where it is taken."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def _tensor(value: onnx.ValueInfoProto, axes: _Axes, name: str) -> list[str]:
    """Name, dtype and shape."""
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
        shape.append(axes.size(size))
    return [
        f"  - name: {_text(name)}",
        f"    dtype: {kind}",
        f"    shape: [{', '.join(shape)}]" + (f"  {GUESS}" if guessed else ""),
    ]


def _in_file(value: onnx.ValueInfoProto, names: Mapping[str, str]) -> list[str]:
    """What an input or output is called in the file, where that is a different name."""
    return [] if names[value.name] == value.name else [f"    in_file: {_text(value.name)}"]


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
    words = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "model"
    return words if words[0].isalpha() else f"x_{words}"


def _text(name: str) -> str:
    """A name as YAML: in quotes where it would be another value (`no`), or has other letters."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in _YAML_WORDS
    return name if plain else json.dumps(name)
