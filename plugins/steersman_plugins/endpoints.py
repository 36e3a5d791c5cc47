"""Where the other side is: `host:port`, or a Unix socket's path, as a plugin's config says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.refusal import Refused, quoted

_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)
_UNIX = re.compile(r"unix:(?P<path>/[^\x00-\x1f\x7f]{1,100})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP or UDP address, or a Unix socket when there is a `path`."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that a checked `HostPort` or `HostPortOrSocket` means."""
    if match := _UNIX.fullmatch(text):
        return Endpoint(path=match["path"])
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise Refused(quoted(text), "host:port, such as 127.0.0.1:8125 or [::1]:8125")
    return Endpoint(host=match["v6"] or match["host"], port=int(match["port"]))


def _check_host_port(text: str) -> str:
    if parse_endpoint(text).path:
        raise Refused(quoted(text), "host:port, such as 127.0.0.1:2003")
    return text


def _check_either(text: str) -> str:
    try:
        parse_endpoint(text)
    except Refused:
        raise Refused(
            quoted(text), "host:port, such as 127.0.0.1:8125, or unix:/path/of/a/socket"
        ) from None
    return text


HostPort = Annotated[str, AfterValidator(_check_host_port), Field(examples=["127.0.0.1:2003"])]
HostPortOrSocket = Annotated[
    str,
    AfterValidator(_check_either),
    Field(examples=["127.0.0.1:8125", "unix:/run/datadog/dsd.socket"]),
]
