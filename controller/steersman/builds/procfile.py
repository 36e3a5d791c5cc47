"""The Procfile: one `name: command` a line."""

import re

from steersman.builds.errors import SourceRefused
from steersman.builds.text import printable

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")


def parse_procfile(source: str, text: str) -> dict[str, str]:
    """Return the commands by process name; blank lines and `#` comments are skipped."""
    commands: dict[str, str] = {}
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        where = f"Procfile:{number}"
        if found is None:
            why = f"{where} reads {printable(line)!r}"
            raise SourceRefused(source, why, "write each line as `name: command`")
        name, command = found.groups()
        if name in commands:
            raise SourceRefused(source, f"{where} names {name} again", "give it one command")
        if not command.isprintable():
            why = f"{where} has control characters"
            raise SourceRefused(source, why, "remove them from the command")
        commands[name] = command
    return commands
