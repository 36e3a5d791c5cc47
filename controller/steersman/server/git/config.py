"""What serve.yaml says of git push."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from steersman.api.app import Gate
from steersman.api.model import Flag, Model
from steersman.api.names import AppName, Name
from steersman.api.quantities import Size
from steersman.api.refusal import Refused, quoted
from steersman.transport.git_server import check_key_line

_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]*):(?P<port>\d{1,5})")


def check_listen(text: str) -> str:
    """Return `text` when it is `host:port`, or `:port` for every address of this machine."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise Refused(quoted(text), 'host:port, such as "127.0.0.1:2222", or ":2222"')
    return text


Listen = Annotated[str, AfterValidator(check_listen)]


class GitKey(Model):
    """Who pushes: a line of an authorized_keys file, and what it is for."""

    key: Annotated[str, AfterValidator(check_key_line)]
    apps: tuple[AppName, ...] = ()
    admin: Flag = False

    @model_validator(mode="after")
    def _is_for_something(self) -> "GitKey":
        if self.admin == bool(self.apps):
            found = "admin and apps" if self.admin else "neither apps nor admin"
            raise Refused(found, "apps: [shop] or admin: true")
        return self

    def may(self, app: str) -> bool:
        """Whether this key reads and writes the repository of `app`."""
        return self.admin or app in self.apps


class Git(Model):
    """Where pushes come in, from whom, and what must succeed before a ref moves.

    `address` is how others reach `listen`, to be shown. `maxPack` bounds what one push sends,
    `maxTree` what its files come to.
    """

    listen: Listen
    address: Listen | None = None
    keys: Mapping[Name, GitKey] = Field(default_factory=dict)
    gate: Gate = "rollout"
    max_pack: Size = 512 * 10**6
    max_tree: Size = 10**9

    @property
    def place(self) -> tuple[str, int]:
        """Return the host ("" for all) and the port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
