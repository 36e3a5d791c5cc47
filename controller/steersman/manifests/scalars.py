"""Plain scalars as YAML 1.2's core schema reads them (https://yaml.org/spec/1.2.2/#103-core-schema).

PyYAML's own rules are YAML 1.1's, in which `NO` is false, `on` is true and `010` is eight.
"""

import re

from steersman.api.refusal import Refused, quoted

Value = str | int | float | bool | None

_PREFIX = "tag:yaml.org,2002:"
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 40


def read_scalar(text: str, tag: str | None, *, is_plain: bool) -> Value:
    """Return the value of a scalar; a tag may only name what the text already is, or text.

    Raises Refused.
    """
    if tag is None:
        return _read_plain(text) if is_plain else text
    if tag in {"!", f"{_PREFIX}str"}:
        return text
    value = _read_plain(text)
    types: dict[str, tuple[type, ...]] = {
        f"{_PREFIX}null": (type(None),),
        f"{_PREFIX}bool": (bool,),
        f"{_PREFIX}int": (int,),
        f"{_PREFIX}float": (float, int),
    }
    if tag not in types:
        raise refused_tag(tag)
    if not isinstance(value, types[tag]) or (isinstance(value, bool) and "bool" not in tag):
        # The text is not quoted: it may be a secret, which is not known this early.
        raise Refused(f"a value that is no {short_tag(tag)}", "a value that fits its tag")
    return value


def check_collection_tag(tag: str | None, expected: str) -> None:
    """Refuse any tag on a list (`seq`) or mapping (`map`) but its own."""
    if tag not in {None, "!", f"{_PREFIX}{expected}"}:
        raise refused_tag(str(tag))


def refused_tag(tag: str) -> Refused:
    """Return the refusal of a tag that YAML's core schema does not have."""
    return Refused(f"the tag {quoted(short_tag(tag))}", "plain YAML without tags")


def short_tag(tag: str) -> str:
    """Return a tag as it is written: `!!str`, `!custom`."""
    return f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag


def _read_plain(text: str) -> Value:
    if _NULL.fullmatch(text):
        return None
    if match := _BOOL.fullmatch(text):
        return match[1] is not None
    if _INT.fullmatch(text):
        return _read_int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def _read_int(text: str) -> int:
    # int() is quadratic in its digits, and refuses the longest with an error of its own.
    if len(text) > _MAX_DIGITS:
        raise Refused(f"a number of {len(text)} digits", "a shorter number, or text in quotes")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)
