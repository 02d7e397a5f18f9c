"""The limit on memory that one clip may take. Sizes are checked before anything is allocated."""

from __future__ import annotations

from cineflow.cine.errors import TooLargeError

#: Bytes of grey frames that one clip may have, unless the caller gives another limit.
DEFAULT_LIMIT_BYTES = 2 * 2**30
#: Frames that one clip may have.
MOST_FRAMES = 500_000


def check_count(count: int) -> None:
    """Refuse a clip of too many frames, however small they are.

    Raises:
        TooLargeError: There are more than `MOST_FRAMES`.
    """
    if count > MOST_FRAMES:
        raise TooLargeError(f"a clip of at most {MOST_FRAMES} frames", f"{count}", "Cut the clip.")


def check_size(count: int, rows: int, columns: int, limit_bytes: int | None = None) -> None:
    """Refuse a clip whose grey frames, one byte per pixel, exceed the limit.

    Args:
        count: Frames that are held at the same time.
        rows: Height of a frame, px.
        columns: Width of a frame, px.
        limit_bytes: The limit; None means `DEFAULT_LIMIT_BYTES`.

    Raises:
        TooLargeError: The frames exceed the limit.
    """
    check_count(count)
    limit = DEFAULT_LIMIT_BYTES if limit_bytes is None else limit_bytes
    wanted = count * rows * columns
    if wanted > limit:
        raise TooLargeError(
            f"a clip of at most {_size(limit)} as grey frames",
            f"{count} frames of {rows}x{columns} ({_size(wanted)})",
            "Cut the clip, or raise the limit (limit_bytes, or --limit-gb) if the file is sound.",
        )


def _size(count: int) -> str:
    if count < 2**20:
        return f"{count} bytes"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
