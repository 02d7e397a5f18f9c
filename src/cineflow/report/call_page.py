"""The report of a call: bull's eyes, a table by place, single numbers, the pictures with points."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cineflow.report.bullseye import bullseye_png
from cineflow.report.page import Provenance, render
from cineflow.report.palette import CLASS_COLOURS, brighten
from cineflow.report.places import eyes, place_tables
from cineflow.report.sizes import fitted
from cineflow.served import Output
from cineflow.spec import ModelSpec

#: More pictures than this say nothing more about how the points were placed.
_MOST_PICTURES = 12

#: Width of a picture on the page, px.
_PICTURE_WIDTH = 320


def write_call_report(
    path: str | Path,
    outputs: Mapping[str, Output],
    inputs: Mapping[str, np.ndarray],
    spec: ModelSpec,
    provenance: Provenance,
) -> Path:
    """Write the page of one call, whatever the model.

    Outputs with places are shown by place, and as bull's eyes where the places are AHA segments.
    Inputs that are points are drawn on the first picture of each set.

    Args:
        path: The .html file to write; its folder is created.
        outputs: Of the call, by name.
        inputs: Its arrays, by name.
        spec: The model.
        provenance: What computed it.

    Returns:
        `path`.
    """
    return render(
        path,
        "call.html.j2",
        spec=spec,
        outputs=outputs,
        provenance=provenance,
        bullseyes=[
            (
                eye.title,
                eye.label,
                bullseye_png(eye.values, eye.scale, limits=eye.limits, digits=eye.digits),
            )
            for eye in eyes(outputs)
        ],
        tables=place_tables(outputs),
        numbers={
            name: (float(output.values.reshape(())), output.unit)
            for name, output in outputs.items()
            if output.values.size == 1 and not output.places
        },
        pictures=list(_pictures(spec, inputs))[:_MOST_PICTURES],
    )


def _pictures(spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """The first picture of each set of points, with the points on it: (caption, PNG)."""
    for tensor in spec.inputs:
        if not tensor.points_of or tensor.points_of not in inputs or spec.feed.rank != 2:
            continue
        points, stack = inputs[tensor.name], inputs[tensor.points_of]
        for index in np.ndindex(points.shape[:-2]):
            if stack.shape[: len(index)] != points.shape[:-2] or stack.ndim < len(index) + 2:
                break  # the points do not say which picture they are on
            picture = stack[index]
            picture = picture.reshape(-1, *picture.shape[-2:])[0]
            where = " ".join(str(i) for i, n in zip(index, points.shape[:-2], strict=True) if n > 1)
            yield f"{tensor.points_of} {where}".strip(), _marked(picture, points[index])


def _marked(picture: np.ndarray, points: np.ndarray) -> str:
    """A picture, its darkest level black and its brightest white, with numbered points."""
    low, high = float(picture.min()), float(picture.max())
    grey = np.round((picture - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    rows, columns = grey.shape
    fit = fitted(rows, columns, None, width=_PICTURE_WIDTH)
    image = Image.fromarray(brighten(grey)).resize(fit.size, Image.Resampling.BICUBIC)
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    for k, point in enumerate(points):
        x, y = (float(value) for value in (point + 0.5) * np.array(fit.scale))
        colour = CLASS_COLOURS[k % len(CLASS_COLOURS)]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), outline=colour, width=2)
        draw.text((x + 7, y - 6), str(k), colour)
    file = io.BytesIO()
    image.save(file, format="PNG")
    return _embedded(file.getvalue())


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
