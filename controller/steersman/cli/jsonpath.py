"""kubectl's JSONPath: templates such as `{range .items[*]}{.metadata.name}{"\\n"}{end}`.

What kubectl reads is read (https://kubernetes.io/docs/reference/kubectl/jsonpath/): fields,
`['…']`, `[0]`, `[-1]`, slices, unions, `[*]`, `..`, filters, `range` and `end`, quoted text. Two
things are kinder: `$` is the whole document inside of a range too, and `['a.b']` is the key `a.b`
where there is one, else `.a.b`. A template without braces is one path: `metadata.name`.
"""

from __future__ import annotations

import re

from steersman.api.errors import SteersmanError
from steersman.cli.jsonpath_nodes import (
    COMPARISONS,
    Deep,
    Every,
    Field,
    Filter,
    Index,
    Literal,
    Operand,
    Part,
    Path,
    Quoted,
    Range,
    Single,
    Slice,
    Step,
    Template,
    Union,
)

MAX_LENGTH = 10_000
MAX_DEPTH = 20

_NAME = re.compile(r"""(?:\\.|[^\\.,\[\]{}()'"=!<>?@$*\s])+""")
_TEXT = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
_DOT = re.compile(r"(?<!\\)\.")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")
_SLICE = re.compile(r"(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*(?::\s*(\d{1,9})?)?")
_INDEX = re.compile(r"-?\d{1,9}")
_WORD = re.compile(r"(range|end|true|false)(?![\w-])")
_ESCAPED = re.compile(r"\\(u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


class BadPath(SteersmanError):
    """A template that cannot be read; `at` counts its characters from 1."""

    def __init__(self, template: str, at: int, why: str) -> None:
        shown = template if len(template) <= 100 else f"{template[:100]}…"
        super().__init__(
            f"jsonpath {shown!r}, character {at}: {why};"
            " write it like '{.items[*].metadata.name}', as for kubectl"
        )
        self.at = at


def parse(template: str) -> Template:
    """Return what a template says; raises BadPath."""
    reader = _Reader(template)
    if len(template) > MAX_LENGTH:
        raise reader.refused(f"it goes on beyond {MAX_LENGTH} characters", at=MAX_LENGTH)
    return reader.template() if "{" in template else Template((reader.lone_path(),))


class _Reader:
    """Reads from the front; `_at` is where it stands."""

    def __init__(self, template: str) -> None:
        self._text = template
        self._at = 0
        self._depth = 0

    def refused(self, why: str, at: int | None = None) -> BadPath:
        return BadPath(self._text, (self._at if at is None else at) + 1, why)

    def lone_path(self) -> Path:
        path = self._path()
        self._space()
        if self._at < len(self._text):
            raise self.refused(f"found {self._next!r} after the path")
        return path

    def template(self) -> Template:
        parts = self._parts(None)
        return Template(parts)

    def _parts(self, opened: int | None) -> tuple[Part, ...]:
        """Read until the end, or until the `{end}` of the range that was `opened` there."""
        parts: list[Part] = []
        while self._at < len(self._text):
            at = self._text.find("{", self._at)
            at = len(self._text) if at < 0 else at
            if at > self._at:
                parts.append(self._text[self._at : at])
                self._at = at
                continue
            self._at += 1
            self._space()
            word = self._took(_WORD)
            if word == "end" and opened is None:
                raise self.refused("found an end without a range before it", at)
            if word == "end":
                self._close("}", at)
                return tuple(parts)
            parts.append(self._range(at) if word == "range" else self._action(at, word or ""))
        if opened is not None:
            raise self.refused("this range has no {end}", opened)
        return tuple(parts)

    def _range(self, at: int) -> Range:
        self._enter(at)
        self._space()
        path = self._path()
        self._close("}", at)
        made = Range(path, self._parts(at))
        self._depth -= 1
        return made

    def _action(self, at: int, word: str) -> Part:
        """Read what stands in braces; `word` is the start of a name that looked like another."""
        self._at -= len(word)
        text = self._took(_TEXT)
        if text is not None:
            self._close("}", at)
            return _unquoted(text)
        path = self._path()
        self._close("}", at)
        return path

    def _path(self) -> Path:
        start = self._at
        root = self._next if self._next in ("$", "@") else ""
        self._at += len(root)
        steps: list[Step] = []
        if not root and (name := self._took(_NAME)) is not None:
            steps.append(Field(_unescaped(name)))
        while (step := self._step(is_first=not steps)) is not None:
            steps += step
        if self._at == start:
            raise self._misfit("where a path should stand")
        return Path(tuple(steps), is_absolute=root == "$")

    def _step(self, *, is_first: bool) -> tuple[Step, ...] | None:
        if self._next == "[":
            return (self._bracket(),)
        if self._next != ".":
            return None
        dots = 2 if self._text.startswith("..", self._at) else 1
        self._at += dots
        deep: tuple[Step, ...] = (Deep(),) if dots == 2 else ()
        if self._next == "*":
            self._at += 1
            return (*deep, Every())
        if (name := self._took(_NAME)) is not None:
            return (*deep, Field(_unescaped(name)))
        if self._next != "[" and not deep and not is_first:
            raise self.refused("a name or * should follow the dot")
        return deep

    def _bracket(self) -> Step:
        opened = self._at
        self._enter(opened)
        self._at += 1
        self._space()
        step = self._filter() if self._next == "?" else self._union()
        self._close("]", opened)
        self._depth -= 1
        return step

    def _union(self) -> Step:
        steps = [self._item()]
        self._space()
        while self._next == ",":
            self._at += 1
            self._space()
            steps.append(self._item())
            self._space()
        return steps[0] if len(steps) == 1 else Union(tuple(steps))

    def _item(self) -> Single:
        if self._next == "*":
            self._at += 1
            return Every()
        if (text := self._took(_TEXT)) is not None:
            inside = text[1:-1]
            parts = _DOT.split(inside)
            return Quoted(_unescaped(inside), tuple(map(_unescaped, parts)))
        found = _SLICE.match(self._text, self._at)
        if found is not None:
            step = None if found[3] is None else int(found[3])
            if step == 0:
                raise self.refused("the step of a slice is 0, and should be 1 or more")
            self._at = found.end()
            start, end = (None if each is None else int(each) for each in found.group(1, 2))
            return Slice(start, end, step)
        if (number := self._took(_INDEX)) is not None:
            return Index(int(number))
        raise self._misfit("in [ ], where a number, *, a 'key' or a filter ?(…) should stand")

    def _filter(self) -> Filter:
        self._at += 1
        opened = self._at
        if self._next != "(":
            raise self.refused("a filter is written ?(…)")
        self._at += 1
        left = self._operand()
        sign = next((s for s in COMPARISONS if self._text.startswith(s, self._at)), None)
        if sign is None:
            self._close(")", opened)
            return Filter(left)
        self._at += len(sign)
        right = self._operand()
        self._close(")", opened)
        return Filter(left, COMPARISONS[sign], right)

    def _operand(self) -> Operand:
        self._space()
        operand: Operand
        if (text := self._took(_TEXT)) is not None:
            operand = Literal(_unquoted(text))
        elif (number := self._took(_NUMBER)) is not None:
            operand = Literal(float(number) if "." in number else int(number))
        elif (word := self._took(_WORD)) in ("true", "false"):
            operand = Literal(word == "true")
        elif self._next in ("@", "$", "."):
            operand = self._path()
        else:
            allowed = "@.name, a text in quotes, a number, true or false"
            raise self._misfit(f"in a filter, where {allowed} should stand")
        self._space()
        return operand

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _space(self) -> None:
        while self._next.isspace():
            self._at += 1

    def _took(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _close(self, bracket: str, opened: int) -> None:
        self._space()
        if not self._next:
            raise self.refused(f"the {self._text[opened]} is never closed", opened)
        if self._next != bracket:
            raise self.refused(f"found {self._next!r}, where {bracket} should stand")
        self._at += 1

    def _misfit(self, where: str) -> BadPath:
        if self._next in ('"', "'"):
            return self.refused("this quote is never closed")
        return self.refused(f"found {repr(self._next) if self._next else 'its end'} {where}")

    def _enter(self, at: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.refused(f"more than {MAX_DEPTH} levels in each other", at)


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _unquoted(text: str) -> str:
    def char(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return _ESCAPED.sub(char, text[1:-1])
