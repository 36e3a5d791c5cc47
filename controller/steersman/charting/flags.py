"""`--set` and its kin: Helm's grammar (pkg/strvals), to paths and values.

`a.b=c`, `a[0]=x`, `a={x,y}`, several with commas; a backslash takes the next character as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from steersman.api.refusal import Path, Refused, quoted
from steersman.charting.values import Origin, Value, value_from

MAX_INDEX = 65536
MAX_DEPTH = 30

Reader = Callable[["_Cursor"], object]
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None, "0": 0}
_INTEGERS = range(-(2**63), 2**63)


def parse_set(text: str) -> list[tuple[Path, object]]:
    """Read `--set`: true, false, null and whole numbers are what they look like, all else text.

    Raises Refused, as all of these do.
    """
    return _assignments(text, lambda cursor: _value(cursor, typed))


def parse_set_string(text: str) -> list[tuple[Path, object]]:
    """Read `--set-string`: every value is text."""
    return _assignments(text, lambda cursor: _value(cursor, lambda word: word))


def parse_set_file(text: str, read: Callable[[str], str]) -> list[tuple[Path, object]]:
    """Read `--set-file`: each value is what `read` returns for the path."""
    return _assignments(text, lambda cursor: read(cursor.take(",")[0]))


def parse_set_json(text: str) -> list[tuple[Path, object]]:
    """Read `--set-json`: `path=JSON`, which replaces what is there, or one JSON object, which is
    merged with it."""
    if text.lstrip().startswith("{"):
        whole, end = _json(text, len(text) - len(text.lstrip()))
        if text[end:].strip() or not isinstance(whole, dict):
            raise Refused(f"more after the object in {quoted(text)}", "one JSON object")
        return list(_spread(whole))
    return _assignments(text, _json_value)


def typed(word: str) -> object:
    """Return what a word of `--set` means. `1.5` and `007` stay text, as in Helm: `3.10` would
    become 3.1 otherwise."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    digits = word.removeprefix("-") if word.startswith("-") else word.removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and word[0] != "0":
        number = int(word)
        return number if number in _INTEGERS else word
    return word


def assigned(base: Value | None, path: Path, leaf: Value, default: Value | None) -> Value:
    """Return `base` with `leaf` at `path`.

    A list that only the chart has (`default`) is taken from there, so that one of its items can be
    set. Raises Refused for an item behind the end.
    """
    if not path:
        return leaf
    part, rest = path[0], path[1:]
    origin = base.origin if base is not None else leaf.origin
    if isinstance(part, str):
        known = dict(base.entries) if base is not None else {}
        inner = default.entries.get(part) if default is not None else None
        known[part] = assigned(known.get(part), rest, leaf, inner)
        return Value(known, origin)
    items = list(_items(base) if base is not None else _items(default))
    if part > len(items):
        raise Refused(f"item [{part}] of a list of {len(items)}", f"items up to [{len(items)}]")
    inner = items[part] if part < len(items) else None
    items[part : part + 1] = [assigned(inner, rest, leaf, None)]
    return Value(tuple(items), origin)


def with_assignments(
    base: Value, found: list[tuple[Path, object]], origin: Origin, defaults: Value
) -> Value:
    """Return `base` with everything that a flag says."""
    for path, data in found:
        base = assigned(base, path, value_from(data, origin), defaults)
    return base


def _items(value: Value | None) -> tuple[Value, ...]:
    return value.data if value is not None and isinstance(value.data, tuple) else ()


@dataclass(slots=True)
class _Cursor:
    """A place in the text of a flag."""

    text: str
    at: int = 0

    @property
    def is_over(self) -> bool:
        return self.at >= len(self.text)

    def take(self, stops: str) -> tuple[str, str]:
        """Return the word up to one of `stops`, and which that was: "" at the end."""
        word = []
        while not self.is_over:
            char = self.text[self.at]
            self.at += 1
            if char == "\\" and not self.is_over:
                word.append(self.text[self.at])
                self.at += 1
            elif char in stops:
                return "".join(word), char
            else:
                word.append(char)
        return "".join(word), ""


def _assignments(text: str, read: Reader) -> list[tuple[Path, object]]:
    cursor, found = _Cursor(text), []
    while not cursor.is_over:
        path = _path(cursor)
        found.append((path, read(cursor)))
    if not found:
        raise Refused("nothing", "path=value, such as web.count=2")
    return found


def _path(cursor: _Cursor) -> Path:
    path: list[str | int] = []
    while True:
        word, stop = cursor.take(".[=,")
        if not word:
            raise Refused(f"an empty key in {quoted(cursor.text)}", "a.b=c; escape dots as \\.")
        path.append(word)
        while stop == "[":
            path.append(_index(cursor))
            stop = _after_index(cursor)
        if len(path) > MAX_DEPTH:
            raise Refused(f"more than {MAX_DEPTH} levels in {quoted(cursor.text)}", "fewer")
        if stop == "=":
            return tuple(path)
        if stop != ".":
            raise Refused(f"the key {quoted(word)} without a value", "path=value")


def _index(cursor: _Cursor) -> int:
    word, stop = cursor.take("]")
    if stop != "]" or not word.isascii() or not word.isdigit() or int(word[:6]) > MAX_INDEX:
        raise Refused(f"the index [{word}] in {quoted(cursor.text)}", f"[0] to [{MAX_INDEX}]")
    return int(word)


def _after_index(cursor: _Cursor) -> str:
    word, stop = cursor.take(".[=,")
    if word or stop not in (".", "[", "="):
        raise Refused(f"{quoted(word + stop)} behind an index", "a[0]=x, a[0].b=x or a[0][1]=x")
    return stop


def _value(cursor: _Cursor, convert: Callable[[str], object]) -> object:
    if not cursor.text.startswith("{", cursor.at):
        return convert(cursor.take(",")[0])
    cursor.at += 1
    items: list[object] = []
    while True:
        word, stop = cursor.take(",}")
        if not stop:
            raise Refused(f"a list that does not end in {quoted(cursor.text)}", "{a,b}")
        if word or stop == "," or items:
            items.append(convert(word))
        if stop == "}":
            _pass_comma(cursor, "}")
            return items


def _json_value(cursor: _Cursor) -> object:
    value, cursor.at = _json(cursor.text, cursor.at)
    _pass_comma(cursor, "the JSON value")
    return value


def _pass_comma(cursor: _Cursor, what: str) -> None:
    if not cursor.is_over and cursor.text[cursor.at] != ",":
        raise Refused(f"{quoted(cursor.text[cursor.at :])} behind {what}", "a comma, or the end")
    cursor.at += 1


def _spread(whole: Mapping[str, object], above: Path = ()) -> Iterator[tuple[Path, object]]:
    for key, value in whole.items():
        if isinstance(value, dict) and value:
            yield from _spread(value, (*above, key))
        else:
            yield (*above, key), value


def _json(text: str, at: int) -> tuple[object, int]:
    try:
        found: tuple[object, int] = json.JSONDecoder(parse_constant=_refuse).raw_decode(text, at)
    except (ValueError, RecursionError):
        raise Refused(f"no JSON in {quoted(text[at:])}", 'JSON, such as {"a": [1, "x"]}') from None
    return found


def _refuse(word: str) -> object:
    raise ValueError(word)
