"""The two commands that there are, by exact words: an app's name, and never a path."""

import re
from dataclasses import dataclass
from typing import Literal

from steersman.api.names import check_app_name
from steersman.api.refusal import Refused

Service = Literal["receive-pack", "upload-pack"]

# As git quotes it, for `ssh://host/shop`, `host:shop` and both with `.git`.
_COMMAND = re.compile(r"git-(receive-pack|upload-pack) '/?([a-z0-9-]{1,63})(?:\.git)?'")


@dataclass(frozen=True, slots=True)
class Command:
    """What a client wants of which app's repository."""

    service: Service
    app: str


def parse_command(text: str) -> Command | None:
    """Return what a client asks for, None if it is anything else."""
    match = _COMMAND.fullmatch(text)
    if match is None:
        return None
    try:
        app = check_app_name(match[2])
    except Refused:
        return None
    return Command("receive-pack" if match[1] == "receive-pack" else "upload-pack", app)
