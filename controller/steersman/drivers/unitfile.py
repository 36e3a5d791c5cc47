"""systemd unit files from typed values; what a file cannot say is refused, not quoted away.

Syntax: systemd.syntax(7), systemd.service(5), systemd.exec(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from steersman.api.errors import SteersmanError

Directive = tuple[str, str]
Section = tuple[str, Sequence[Directive]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))|\$")


class CannotRender(SteersmanError):
    """A value has no form in the file it is meant for."""


def render(sections: Iterable[Section]) -> bytes:
    """Return the file's bytes; every value is one line."""
    lines: list[str] = ["# Written by steersman; changes are replaced."]
    for name, directives in sections:
        lines += ["", f"[{name}]"]
        lines += [f"{key}={one_line(value)}" for key, value in directives]
    return ("\n".join(lines) + "\n").encode()


def one_line(value: str) -> str:
    """Return `value` if it holds no control character."""
    if _CONTROL.search(value):
        raise CannotRender(f"{value!r} holds a control character; remove it from the manifest")
    return value


def exec_words(argv: Sequence[str]) -> str:
    """Return `argv` for ExecStart=: quoted, `%` doubled, `$NAME` left for systemd to fill in."""
    return " ".join(_quoted(_VARIABLE.sub(_variable, word.replace("%", "%%"))) for word in argv)


def _variable(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    return f"${{{name}}}" if name else "$$"


def environment(name: str, value: str) -> str:
    """Return one assignment for Environment=."""
    return _quoted(f"{name}={value}".replace("%", "%%"))


def path(value: str) -> str:
    """Return a path for a directive that takes one literally."""
    if not value.startswith("/") or re.search(r"[\s\"'\\%$]", value):
        raise CannotRender(f"the path {value!r} holds a character that unit files give a meaning")
    return value


def _quoted(text: str) -> str:
    return '"' + one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def env_file(env: Iterable[tuple[str, str]]) -> bytes:
    """Return an EnvironmentFile=: one NAME="value" a line (systemd.exec(5))."""
    lines = []
    for name, value in env:
        escaped = re.sub(r'([\\"$`])', r"\\\1", one_line(value.replace("\t", " ")))
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines).encode()
