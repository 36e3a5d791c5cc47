"""Routes: which requests reach which process or folder of an app."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from steersman.api.model import Model
from steersman.api.names import ProcessName
from steersman.api.quantities import Size, Timeout
from steersman.api.refusal import Refused, quoted
from steersman.api.text import InnerPath

_HOSTNAME = re.compile(
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")


def check_route_host(host: str) -> str:
    """Return `host` when a site may be named so: a host name, or `*.` and one."""
    if len(host) > 253 or not _HOSTNAME.fullmatch(host):
        lower = host.lower()
        hint = f"; did you mean {lower}?" if host != lower and _HOSTNAME.fullmatch(lower) else ""
        raise Refused(
            quoted(host),
            f"a host name in lower case, such as shop.example.com or *.example.com{hint}",
        )
    return host


def check_route_path(path: str) -> str:
    """Return `path` when it is a plain prefix that no proxy rewrites."""
    parts = path.split("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(parts) or "//" in path or len(path) > 1024:
        raise Refused(
            quoted(path), "a path that starts with /, of letters, digits and . _ ~ - /, without .."
        )
    return path


class Route(Model):
    """Requests for `host` below `path` go to a process, or are files of a release's folder."""

    host: Annotated[str, AfterValidator(check_route_host), Field(examples=["shop.example.com"])]
    path: Annotated[str, AfterValidator(check_route_path)] = "/"
    process: ProcessName | None = None
    directory: InnerPath | None = None
    client_max_body_size: Size = 10 * 1000 * 1000
    read_timeout: Timeout = 60.0

    @model_validator(mode="after")
    def _has_one_target(self) -> "Route":
        if (self.process is None) == (self.directory is None):
            found = "neither" if self.process is None else "both"
            raise Refused(found, "one of `process` and `directory`")
        return self
