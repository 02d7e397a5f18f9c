"""Standard-operator forms of the correlation that were tried, radius 4, y-major, mean.

Each returns the body of an ONNX graph from f1, f2 [N, C, H, W] to out [N, 81, H, W]. The exporter
uses `tiles` (cineflow.export.bodies); the others stay so that the choice can be measured again.
"""

from __future__ import annotations

from cineflow.export.bodies import correlation

RADIUS = 4
SIDE = 2 * RADIUS + 1


def slices(channels: int) -> str:
    """One slice, product and mean per displacement."""
    lines = [
        f"pads = Constant <value = int64[8] {{0,0,{RADIUS},{RADIUS},0,0,{RADIUS},{RADIUS}}}> ()",
        "padded = Pad (f2, pads)",
        "size = Shape <start: int = 2> (f1)",
        "axes = Constant <value = int64[2] {2,3}> ()",
        "channel = Constant <value = int64[1] {1}> ()",
    ]
    means = []
    for dy in range(SIDE):
        for dx in range(SIDE):
            k = f"{dy}_{dx}"
            lines += [
                f"from_{k} = Constant <value = int64[2] {{{dy},{dx}}}> ()",
                f"to_{k} = Add (size, from_{k})",
                f"moved_{k} = Slice (padded, from_{k}, to_{k}, axes)",
                f"product_{k} = Mul (f1, moved_{k})",
                f"mean_{k} = ReduceMean <keepdims: int = 1> (product_{k}, channel)",
            ]
            means.append(f"mean_{k}")
    return "\n".join([*lines, f"out = Concat <axis: int = 1> ({', '.join(means)})"])


def bands(channels: int) -> str:
    """One matrix product per row and row offset: [W, C] x [C, W + 8], of which a band is wanted."""
    lines = [
        f"pads = Constant <value = int64[8] {{0,0,{RADIUS},{RADIUS},0,0,{RADIUS},{RADIUS}}}> ()",
        "padded = Pad (f2, pads)",
        "rows = Transpose <perm: ints = [0,2,1,3]> (padded)",
        "pixels = Transpose <perm: ints = [0,2,3,1]> (f1)",
        f"mean = Constant <value = float {{{1.0 / channels}}}> ()",
        "scaled = Mul (pixels, mean)",
        "front = Shape <start: int = 0, end: int = 1> (f1)",
        "height = Shape <start: int = 2, end: int = 3> (f1)",
        "width = Shape <start: int = 3, end: int = 4> (f1)",
        f"reach = Constant <value = int64[1] {{{2 * RADIUS}}}> ()",
        f"side = Constant <value = int64[1] {{{SIDE}}}> ()",
        "zero = Constant <value = int64[1] {0}> ()",
        "one = Constant <value = int64[1] {1}> ()",
        "three = Constant <value = int64[1] {3}> ()",
        "wide = Add (width, reach)",
        "flat = Mul (width, wide)",
        "wider = Add (wide, one)",
        "flat_shape = Concat <axis: int = 0> (front, height, flat)",
        "skewed_shape = Concat <axis: int = 0> (front, height, width, wider)",
        "zeros = Constant <value = int64[5] {0,0,0,0,0}> ()",
        "one_row = Concat <axis: int = 0> (zeros, width)",
    ]
    for k in range(SIDE):
        lines += [
            f"from_{k} = Constant <value = int64[1] {{{k}}}> ()",
            f"to_{k} = Add (height, from_{k})",
            f"moved_{k} = Slice (rows, from_{k}, to_{k}, one)",
            f"product_{k} = MatMul (scaled, moved_{k})",
            f"flat_{k} = Reshape (product_{k}, flat_shape)",
            f"longer_{k} = Pad (flat_{k}, one_row)",
            f"skewed_{k} = Reshape (longer_{k}, skewed_shape)",
            f"band_{k} = Slice (skewed_{k}, zero, side, three)",
        ]
    names = ", ".join(f"band_{k}" for k in range(SIDE))
    return "\n".join(
        [
            *lines,
            f"all = Concat <axis: int = 3> ({names})",
            "out = Transpose <perm: ints = [0,3,1,2]> (all)",
        ]
    )


def tiles(channels: int) -> str:
    """What the exporter writes: one small product per tile of a row and row offset."""
    body = correlation(RADIUS, 1, 0).partition("{")[2].rpartition("}")[0]
    return body.replace("value_float: float = @scale", f"value_float: float = {1.0 / channels}")


FORMS = {"slices": slices, "bands": bands, "tiles (used)": tiles}
