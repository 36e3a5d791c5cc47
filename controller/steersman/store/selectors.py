"""Selectors: kubectl's `-l` over labels, and its `--field-selector`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from steersman.api.labels import Term
from steersman.store.errors import BadFieldSelector, BadSelector

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_FIELD = re.compile(r"([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)\s*(==|=|!=)([^=!]*)")
_METADATA = (("metadata", "name"), ("metadata", "uid"))
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")


@dataclass(frozen=True)
class Selector:
    """Every term must match; no terms match everything."""

    terms: tuple[Term, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(term.matches(labels) for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `role=web,tier in (a, b),!old`; raises BadSelector."""
        pieces = [piece.strip() for piece in _COMMA_OUTSIDE_PARENTHESES.split(text)]
        return cls(tuple(_term(text, piece) for piece in pieces if text.strip()))


@dataclass(frozen=True)
class FieldTerm:
    """One requirement: the value at `path` reads as `value`, or `negated` does not."""

    path: tuple[str, ...]
    value: str
    negated: bool = False

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """As in Kubernetes, an absent field reads as nothing."""
        return (_written(_at(obj, self.path)) == self.value) != self.negated


@dataclass(frozen=True)
class FieldSelector:
    """Every term must match; no terms match everything."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return all(term.matches(obj) for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `metadata.name=shop,status.state!=deployed`; raises BadFieldSelector.

        Known are metadata.name, metadata.uid and every path of map keys under spec and status.
        """
        pieces = [piece.strip() for piece in text.split(",")]
        return cls(tuple(_field_term(text, piece) for piece in pieces if text.strip()))


def _field_term(text: str, piece: str) -> FieldTerm:
    found = _FIELD.fullmatch(piece)
    path = tuple(found[1].split(".")) if found is not None else ()
    is_known = path[:1] in (("spec",), ("status",)) and len(path) > 1
    if found is None or not (is_known or path in _METADATA):
        raise BadFieldSelector(text, piece)
    return FieldTerm(path, found[3].strip(), found[2] == "!=")


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def _written(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _term(text: str, piece: str) -> Term:
    readers: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Term]], ...] = (
        (_SET, lambda m: Term(m[1], _values(text, piece, m[3]), m[2] == "notin")),
        (_EQUALITY, lambda m: Term(m[1], frozenset({m[3]}), m[2] == "!=")),
        (_EXISTS, lambda m: Term(m[2], None, m[1] == "!")),
    )
    for pattern, read in readers:
        found = pattern.fullmatch(piece)
        if found is not None:
            return read(found)
    raise BadSelector(text, piece)


def _values(text: str, piece: str, inside: str) -> frozenset[str]:
    values = frozenset(value.strip() for value in inside.split(","))
    if not all(re.fullmatch(_VALUE, value) for value in values):
        raise BadSelector(text, piece)
    return values
