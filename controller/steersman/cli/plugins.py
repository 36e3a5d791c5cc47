"""Verbs from elsewhere: a program `steer-foo` on PATH is `steer foo`, by kubectl's rules.

The longest name wins: `steer foo bar` is `steer-foo-bar` where there is one, else `steer-foo` with
the argument `bar`. A dash inside of a word is an underscore in the file's name: `steer foo-bar` is
`steer-foo_bar`. No plugin takes the place of a verb of steer's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from steersman.api.errors import SteersmanError

PREFIX = "steer-"


class NotRun(SteersmanError):
    """A plugin that is there, and does not start."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"plugin {path} cannot be run: {why}; its first line should name its interpreter, as"
            " #!/bin/sh does, and its file be executable"
        )


@dataclass(frozen=True, slots=True)
class Plugin:
    """A file on PATH; `words` are what calls it."""

    path: str

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(w.replace("_", "-") for w in self.name.removeprefix(PREFIX).split("-"))

    @property
    def is_executable(self) -> bool:
        return os.access(self.path, os.X_OK)


def known() -> Iterator[Plugin]:
    """Yield every plugin in the order of PATH, those that an earlier one hides too."""
    # An entry such as "." would let any folder that one works in add verbs.
    folders = filter(os.path.isabs, os.environ.get("PATH", "").split(os.pathsep))
    for folder in dict.fromkeys(folders):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # PATH may name what is not there
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(PREFIX) and name != PREFIX and os.path.isfile(path):
                yield Plugin(path)


def become(args: Sequence[str]) -> None:
    """Run the plugin that `args` call, in place of this process; return if there is none."""
    words = [*takewhile(lambda word: not word.startswith("-") and "/" not in word, args)]
    runnable = {plugin.name: plugin for plugin in reversed([*known()]) if plugin.is_executable}
    for count in range(len(words), 0, -1):
        name = PREFIX + "-".join(word.replace("-", "_") for word in words[:count])
        plugin = runnable.get(name)
        if plugin is None:
            continue
        sys.stdout.flush()
        try:
            os.execv(plugin.path, [plugin.path, *args[count:]])  # noqa: S606
        except OSError as error:
            raise NotRun(plugin.path, error.strerror or str(error)) from error
