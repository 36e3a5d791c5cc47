"""The filters and functions that templates have beside Jinja2's own: each one pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from jinja2 import TemplateRuntimeError, Undefined

from steersman.charting.yamltext import write_yaml

# Time, chance, HTML and the door of two escapes from the sandbox have no place in a manifest.
REMOVED = frozenset(
    [
        "attr",
        "e",
        "escape",
        "forceescape",
        "pprint",
        "random",
        "safe",
        "striptags",
        "urlize",
        "xmlattr",
    ]
)


class Refusal(TemplateRuntimeError):
    """A template asks for what it may not have, or is not given what it needs."""

    def __init__(self, found: str, allowed: str, line: int = 0) -> None:
        super().__init__(f"found {found}; allowed: {allowed}")
        self.found = found
        self.allowed = allowed
        self.line = line


def to_yaml(value: Any) -> str:
    """Values as YAML in block style, to be put in place with `nindent`."""
    return write_yaml(_plain(value), width=float("inf")).rstrip("\n")


def to_json(value: Any) -> str:
    """Values as JSON on one line, which is YAML too."""
    return json.dumps(_plain(value), ensure_ascii=False)


def quote(value: Any) -> str:
    """A value as text in double quotes, whatever it holds."""
    return json.dumps(_text(value), ensure_ascii=False)


def squote(value: Any) -> str:
    """A value as text in single quotes."""
    return "'" + _text(value).replace("'", "''") + "'"


def nindent(value: Any, width: int = 2) -> str:
    """A new line, and then every line of the text indented."""
    pad = " " * width
    lines = _text(value).split("\n")
    return "\n" + "\n".join(f"{pad}{line}" if line else line for line in lines)


def required(value: Any, message: str = "a value") -> Any:
    """The value, unless it is missing, null or empty: then `message` says what is needed."""
    if isinstance(value, Undefined) or value is None or value == "":
        raise Refusal("nothing for a required value", str(message))
    return value


def b64enc(value: Any) -> str:
    """Text as base64 of its UTF-8."""
    return base64.b64encode(_text(value).encode()).decode()


def b64dec(value: Any) -> str:
    """The text that base64 holds."""
    try:
        return base64.b64decode(_text(value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal("text that is no base64 of UTF-8", "what `b64enc` gives") from None


def sha256(value: Any) -> str:
    """The SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(_text(value).encode()).hexdigest()


def fail(message: str) -> NoReturn:
    """End the rendering: `message` says why, and what to do."""
    raise Refusal("a combination of values that the chart refuses", str(message))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "b64dec": b64dec,
    "b64enc": b64enc,
    "nindent": nindent,
    "quote": quote,
    "required": required,
    "sha256": sha256,
    "squote": squote,
    "tojson": to_json,
    "toyaml": to_yaml,
}


def shown(value: Any) -> Any:
    """Return what `{{ … }}` puts into the text, in YAML's words and not Python's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Undefined):
        return value
    if value is None:
        raise Refusal("nothing (null)", "a value; give one with `| default(…, true)`")
    raise Refusal(_called(value), "text and numbers; put `| toyaml` or `| tojson` behind others")


def _text(value: Any) -> str:
    # `shown` leaves text, numbers and Undefined, which says itself what is missing.
    return str(shown(value))


def _plain(value: Any) -> Any:
    """Return `value` as JSON's types alone, or refuse what is none."""
    if isinstance(value, Undefined):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    raise Refusal(_called(value), "values; put `| list` behind a filter that gives many")


def _called(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
