"""Plain JSON as the store writes it: equal values have one text. Only this module knows orjson."""

import json
from typing import Any

import orjson

from steersman.store.errors import BadObject

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def text_of(value: Any) -> bytes:
    """Return the JSON text of a value, with sorted keys; raises BadObject for what is not JSON."""
    try:
        text = orjson.dumps(value, option=_OPTIONS)
        if b"null" in text:
            # orjson writes NaN and infinity as null; json refuses them.
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadObject(f"an object that is not plain JSON cannot be stored: {error}") from error
    return text


def parsed(text: str | bytes) -> Any:
    """Return the value that a text of `text_of` stands for."""
    return orjson.loads(text)


def is_same(one: Any, other: Any) -> bool:
    """Return whether JSON tells two values apart: to Python True is 1, and 1 is 1.0."""
    return text_of(one) == text_of(other)
