"""ModelSpec: what feeds a model, what it carries, and what it gives, written once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from cineflow.errors import SpecError
from cineflow.spec.axes import Axis
from cineflow.spec.checks import require_text
from cineflow.spec.feed import Feed, FeedKind
from cineflow.spec.outputs import require_frame_axes, require_role_shape
from cineflow.spec.tensors import Role, TensorSpec

_NAME = re.compile("[a-z][a-z0-9_]*")

#: Stands in a spec that does not state its feed, until the tensors have told it.
INFERRED = Feed(FeedKind.CALL)


@dataclass(frozen=True)
class Weights:
    """Where a model's numbers come from.

    Attributes:
        source: "none" for a training-free model, else a file name or reference.
        licence: SPDX identifier or a sentence.
        trained: False for seeded, untrained weights: called untrained wherever they show.
    """

    source: str = "none"
    licence: str = "Apache-2.0"
    trained: bool = False

    def __post_init__(self) -> None:
        require_text("weights", source=self.source, licence=self.licence)

    @property
    def seeded(self) -> bool:
        """Whether they are random ("seed 0"), so that what the model gives means nothing."""
        return not self.trained and self.source.startswith("seed ")

    def describe(self) -> str:
        """The origin in words, as it stands wherever the model's results do."""
        if self.source == "none":
            return "none: training-free"
        return self.source if self.trained else f"{self.source} (untrained)"


@dataclass(frozen=True)
class ModelSpec:
    """The whole border of one model.

    State tensors are carried by the caller from one call to the next: the output `<name>_out` of
    one frame is the input `<name>_in` of the next. Names sort in the same order on both sides,
    because Triton pairs them by that order.

    Attributes:
        name: Model name, lower case with underscores; bundles are served as `<name>-<hash8>`.
        summary: One sentence: what the model computes.
        inputs: Input tensors, in graph order.
        outputs: Output tensors, in graph order.
        states: State tensors, named without the `_in` / `_out` suffix.
        weights: Origin of the weights.
        source: Paper or standard behind the model.
        feed: How frames reach the inputs. Left out, it is read off the tensors: two images and a
            first output `flow` are a pair, and the flow has its role; all else is a call.
        view: What the frames must show ("parasternal long axis"); "" for any picture. No header
            says it reliably, so it is not checked: whoever streams a clip is told.
    """

    name: str
    summary: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[TensorSpec, ...] = ()
    weights: Weights = field(default_factory=Weights)
    source: str = ""
    feed: Feed = INFERRED
    view: str = ""

    def __post_init__(self) -> None:
        if self.feed is INFERRED:
            self._infer_feed()
        require_text(
            "a model", name=self.name, summary=self.summary, source=self.source, view=self.view
        )
        if not _NAME.fullmatch(self.name):  # a folder's name, and Triton's
            raise SpecError(
                "a model name of the letters a to z, digits and _, a letter first",
                repr(self.name),
                "Rename the model in its spec",
            )
        names = [tensor.name for tensor in self.tensors()]
        if len(set(names)) != len(names):
            raise SpecError(
                f"{self.name}: tensors with distinct names", repr(names), "Rename one of them"
            )
        for side in ("_in", "_out"):
            suffixed = [state.name + side for state in self.states]
            if suffixed != sorted(suffixed):
                raise SpecError(
                    f"{self.name}: state tensors in sorted order on both sides",
                    repr(suffixed),
                    "List the states by name; Triton pairs them in that order",
                )
        axes = {axis for tensor in self.tensors() for axis in tensor.axes}
        for name in sorted({axis.name for axis in axes}):
            ranges = sorted(axis.describe() for axis in axes if axis.name == name)
            if len(ranges) > 1:
                raise SpecError(
                    f"{self.name}: one range for the axis {name}",
                    ", ".join(ranges),
                    "Equal names are equal sizes: rename one axis, or make the ranges the same",
                )
        self._check_feed()
        for tensor in self.outputs:
            require_role_shape(tensor, self.feed)
            require_frame_axes(tensor, self.feed, self.frame_inputs)
        self._check_points()
        for tensor in (*self.inputs, *self.states):
            if tensor.role:
                raise SpecError(
                    f"{self.name}: roles of outputs only",
                    f"{tensor.name} with the role {tensor.role}",
                    "Leave it out: the feed says what an input is",
                )

    def _infer_feed(self) -> None:
        """Feed and role of a spec that names neither, as all did before there were kinds."""
        shape = self.inputs[0].shape if self.inputs else ()
        pair = len(self.inputs) == 2 and all(
            (one.shape, one.dtype) == ((1, 1, *shape[2:]), "float32") for one in self.inputs
        )
        flow = [one for one in self.outputs[:1] if one.name == "flow"]
        if not (pair and len(shape) == 4 and flow and flow[0].shape == (1, 2, *shape[2:])):
            object.__setattr__(self, "feed", Feed(FeedKind.CALL))
            return
        names = tuple(one.name for one in self.inputs)
        object.__setattr__(self, "feed", Feed(FeedKind.PAIR, names))
        first = replace(flow[0], role=Role.FLOW)
        object.__setattr__(self, "outputs", (first, *self.outputs[1:]))

    def _check_feed(self) -> None:
        known = {tensor.name for tensor in self.inputs}
        named = (*self.feed.inputs, *self.feed.at_start)
        if unknown := [name for name in named if name not in known]:
            raise SpecError(
                f"{self.name}: a feed that names inputs of {sorted(known)}",
                f"{unknown}",
                "Use the names of the inputs",
            )
        if len(set(named)) < len(named):
            raise SpecError(f"{self.name}: each input once in its feed", f"{list(named)}")
        if self.feed.remembered and not self.states:
            raise SpecError(
                f"{self.name}: a state that keeps what the model needs of the other frame, because "
                f"its feed {self.feed.kind} takes the current frame alone",
                "no states",
                "Name two inputs, or time_axis=1 if one input takes both frames along axis 1",
            )
        if self.feed.kind == FeedKind.CALL and self.feed.at_start:
            raise SpecError(
                f"{self.name}: a call without inputs at the start",
                f"at_start {list(self.feed.at_start)}",
                "A call has no start: all its inputs come at once",
            )

    def _check_points(self) -> None:
        pictures = {one.name for one in self.inputs if len(one.shape) > self.feed.rank}
        for tensor in self.tensors():
            if not tensor.points_of:
                continue
            given = tensor in self.inputs and self.feed.kind == FeedKind.CALL
            last = (len(tensor.shape) > 1, *tensor.shape[-1:], tensor.unit)
            pictured = tensor.points_of in pictures - {tensor.name}
            if not (given and pictured and last == (True, self.feed.rank, "px")):
                raise SpecError(
                    f"{self.name}: points of a picture as an input of a call, "
                    f"[..., points, {self.feed.rank}] in px, with points_of one of "
                    f"{sorted(pictures - {tensor.name})}",
                    f"{tensor.name} [{tensor.describe_shape()}] in {tensor.unit!r} of "
                    f"{tensor.points_of!r}, feed {self.feed.kind}",
                    "Leave points_of out of other tensors",
                )

    @property
    def frame_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that take frames, in the feed's order."""
        by_name = {tensor.name: tensor for tensor in self.inputs}
        return tuple(by_name[name] for name in self.feed.inputs)

    @property
    def given_inputs(self) -> tuple[TensorSpec, ...]:
        """The other inputs, in graph order; for a call these are all."""
        return tuple(one for one in self.inputs if one.name not in self.feed.inputs)

    def output_of(self, role: str) -> TensorSpec | None:
        """The first output with `role`; None if no output has it."""
        return next((one for one in self.outputs if one.role == role), None)

    def tensors(self) -> Iterator[TensorSpec]:
        """Every tensor: inputs, outputs, states."""
        yield from self.inputs
        yield from self.outputs
        yield from self.states

    def axis(self, name: str) -> Axis | None:
        """The dynamic axis called `name`, or None where that size is fixed."""
        for tensor in self.tensors():
            for axis in tensor.axes:
                if axis.name == name:
                    return axis
        return None

    def to_json(self) -> str:
        """This spec as JSON, keys sorted: equal specs give equal text."""
        fields = asdict(self)
        if not self.view:
            del fields["view"]  # specs from before there were views keep their text
        for tensor in (*fields["inputs"], *fields["outputs"], *fields["states"]):
            for later in ("places", "points_of"):  # and those from before there were these
                if not tensor[later]:
                    del tensor[later]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read back what `to_json` wrote.

        Raises:
            SpecError: The text is not a JSON object with a ModelSpec's fields.
        """
        try:
            data = json.loads(text)
            return cls(
                **{key: data[key] for key in ("name", "summary", "source")},
                inputs=tuple(map(TensorSpec.from_json, data["inputs"])),
                outputs=tuple(map(TensorSpec.from_json, data["outputs"])),
                states=tuple(map(TensorSpec.from_json, data["states"])),
                feed=Feed.from_json(data["feed"]) if "feed" in data else INFERRED,
                weights=Weights(**data["weights"]),
                view=data.get("view", ""),
            )
        except SpecError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SpecError(
                "the JSON of a ModelSpec",
                f"{type(error).__name__}: {error}",
                "Give it the fields of ModelSpec and TensorSpec",
            ) from error
