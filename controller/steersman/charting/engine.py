"""Templates -> text. Runs in the rendering process and nowhere else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, NoReturn

from jinja2 import (
    DictLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from steersman.charting.filters import FILTERS, REMOVED, Refusal, fail, shown
from steersman.charting.jail import CPU_SECONDS, MEMORY, TookTooLong

MAX_OUTPUT = 1024 * 1024
"""Characters of all that a chart renders."""
_MAX_BITS = 4096


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a template; `line` counts from 1, 0 is not known."""

    template: str
    line: int
    found: str
    allowed: str
    used_from: str = ""

    def data(self) -> dict[str, Any]:
        return asdict(self)


class Missing(StrictUndefined):
    """What is not there says what is."""

    @property
    def _undefined_message(self) -> str:
        known = self._undefined_obj
        if self._undefined_hint:
            return str(super()._undefined_message)
        if known is missing:
            return f"the unknown name {self._undefined_name!r}"
        if not isinstance(known, Mapping):
            return str(super()._undefined_message)
        names = ", ".join(map(str, known)) or "nothing"
        close = difflib.get_close_matches(str(self._undefined_name), map(str, known), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"no {self._undefined_name!r} among {names}{hint}"


class Environment(ImmutableSandboxedEnvironment):
    """Jinja2 for YAML: strict, sandboxed, and the same text for the same values, always."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, templates: Mapping[str, str], objects: Mapping[str, Any]) -> None:
        super().__init__(
            loader=DictLoader(dict(templates)),
            undefined=Missing,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            # Constants would be computed while compiling, where no line is known.
            optimized=False,
        )
        for name in REMOVED:
            del self.filters[name]
        self.filters.update(FILTERS)
        del self.globals["lipsum"]
        # Globals, so that imported helpers see them too.
        self.globals.update(objects, fail=fail)

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A key named like a method of Python's is what the chart's author means.
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _refuse_bulk(left, right)
        else:
            _refuse_power(left, right)
        return super().call_binop(context, operator, left, right)

    def handle_exception(self, source: str | None = None) -> NoReturn:
        # Jinja2 would compile frames to show; `_places` finds the lines without.
        raise


def _refuse_power(base: Any, exponent: Any) -> None:
    are_whole = isinstance(base, int) and isinstance(exponent, int)
    if are_whole and base.bit_length() * exponent > _MAX_BITS:
        raise Refusal("a power that is too large", "numbers below 2 ** 4096")


def _refuse_bulk(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > _MAX_BITS:
            raise Refusal("a product that is too large", "numbers below 2 ** 4096")
        return
    for many, times in ((left, right), (right, left)):
        is_repetition = isinstance(times, int) and isinstance(many, str | list | tuple)
        if is_repetition and len(many) * times > MAX_OUTPUT:
            raise Refusal("a repetition that is too long", f"at most {MAX_OUTPUT} in all")


class Renderer:
    """Renders one template after the other, and counts what comes out of all."""

    def __init__(self, templates: Mapping[str, str], objects: Mapping[str, Any]) -> None:
        self._environment = Environment(templates, objects)
        self._names = ", ".join(sorted(templates))
        self._size = 0

    def render(self, name: str) -> str | Fault:
        """Return a template's text, or what is wrong with it."""
        try:
            return "".join(self._pieces(name))
        except (Exception, TookTooLong) as error:
            found, allowed = _said(error, self._names)
            return _fault(name, error, found, allowed)

    def _pieces(self, name: str) -> Iterator[str]:
        template = self._environment.get_template(name)
        # What `generate` returns, without a wrapper around the frame that knows the line.
        pieces: Any = template.root_render_func(template.new_context())
        size = self._size
        for piece in pieces:
            size += len(piece)
            if size > MAX_OUTPUT:
                line = template.get_corresponding_lineno(pieces.gi_frame.f_lineno)
                raise Refusal("more than 1 MiB of rendered text", "less; split the chart", line)
            yield piece
        self._size = size


def _said(error: BaseException, templates: str) -> tuple[str, str]:
    match error:
        case Refusal():
            return error.found, error.allowed
        case TemplateSyntaxError():
            return f"broken Jinja2 ({error.message})", _syntax(error)
        case TemplateNotFound():
            return f"no template {error.name!r}", f"one that the chart has: {templates}"
        case SecurityError():
            return f"a way out of the sandbox ({error})", "values, filters and plain expressions"
        case UndefinedError():
            return str(error), "a value that is set, or `| default(…)`"
        case TookTooLong():
            return f"more than {CPU_SECONDS} s of computing", "loops that end soon"
        case MemoryError():
            return f"more than {MEMORY >> 20} MiB of memory", "smaller texts and lists"
        case RecursionError():
            allowed = "fewer levels; a template or macro that uses itself must come to an end"
            return "nesting without end", allowed
        case OverflowError():
            return "a range or number that is too large", "ranges of at most 100000"
        case _:
            return f"{type(error).__name__}: {error}", "an expression that can be computed"


def _syntax(error: TemplateSyntaxError) -> str:
    if "No filter named" in str(error.message):
        return f"Jinja2's own filters and {', '.join(FILTERS)}"
    if "'.'" in str(error.message):
        return (
            "Jinja2's `{{ values.name }}` and `{{ release.name }}`, not Helm's `{{ .Values.name }}`"
        )
    return "Jinja2's syntax: https://jinja.palletsprojects.com/templates/"


def _fault(name: str, error: BaseException, found: str, allowed: str) -> Fault:
    if isinstance(error, TemplateSyntaxError):
        return Fault(error.name or name, error.lineno, found, allowed)
    places = list(_places(error.__traceback__))
    if not places:
        return Fault(name, error.line if isinstance(error, Refusal) else 0, found, allowed)
    outer, inner = places[0], places[-1]
    used_from = f"{outer[0]}:{outer[1]}" if outer[0] != inner[0] else ""
    return Fault(*inner, found, allowed, used_from)


def _places(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    """Yield the template and line of each frame that is one of a template, outermost first."""
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            yield template.name or "", template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
