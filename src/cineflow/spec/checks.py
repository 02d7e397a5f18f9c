"""Checks that every part of a spec shares."""

from __future__ import annotations

from typing import Any

from cineflow.errors import SpecError


def is_whole(value: object) -> bool:
    """Whether `value` is an int; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def require_text(owner: str, **values: object) -> None:
    """Raise `SpecError` for the first field of `owner` that is not text (`name: 5` in YAML)."""
    for field_name, value in values.items():
        if not isinstance(value, str):
            raise SpecError(
                f"{owner}: text as its {field_name}", repr(value), f'{field_name}: "..." in quotes'
            )


def as_tuple(value: Any) -> Any:
    """A list of JSON as a tuple; anything else as it is, for the field's own check to refuse."""
    return tuple(value) if isinstance(value, list) else value


def require_texts(owner: str, **values: object) -> None:
    """Raise `SpecError` for the first field of `owner` that is not a tuple of texts."""
    for field_name, value in values.items():
        if not isinstance(value, tuple) or not all(isinstance(text, str) for text in value):
            raise SpecError(
                f"{owner}: names as its {field_name}",
                repr(value),
                f'{field_name}: ("first", "second")',
            )
