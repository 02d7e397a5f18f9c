"""Options of the commands that read a clip."""

from __future__ import annotations

from typing import Annotated

import typer

CLIP_HELP = "DICOM, a video, .npz, NIfTI, .mhd, .nrrd, or a folder of frames (docs/files.md)."

Part = Annotated[
    int | None,
    typer.Option(min=0, help="Which cine of a file that holds several slices, from 0."),
]
LimitGb = Annotated[
    float | None,
    typer.Option(min=0.001, help="Most memory for the clip's grey frames, GB. Default: 2.1."),
]


def limit_bytes(gigabytes: float | None) -> int | None:
    """The limit for the readers; None keeps theirs."""
    return None if gigabytes is None else int(gigabytes * 1e9)
