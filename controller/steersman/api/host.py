"""Host: where apps run, and how it is reached and kept."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from steersman.api.meta import Conditions, Object
from steersman.api.model import Flag, Model, Number, Port
from steersman.api.quantities import Room
from steersman.api.refusal import Refused, quoted
from steersman.api.text import HostFolder, Plain

_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,63}")
_JUMP = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^:@\s\[\]]+)(?::(?P<port>\d{1,5}))?"
)
_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def check_address(address: str) -> str:
    """Return `address` when it is a host name or an IP address, and no option."""
    if len(address) <= 253 and _HOSTNAME.fullmatch(address):
        return address
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise Refused(quoted(address), "a host name or an IP address") from None
    return address


def check_login(user: str) -> str:
    """Return `user` when it is a name that SSH logs in with."""
    if not _LOGIN.fullmatch(user):
        raise Refused(quoted(user), "a login name: letters, digits and . _ - @")
    return user


def check_jump(jump: str) -> str:
    """Return `jump` when it is the name of a Host, or `user@host:port`."""
    match = _JUMP.fullmatch(jump)
    if match is None or not 0 < int(match["port"] or 22) <= 65535:
        raise Refused(quoted(jump), "the name of another Host, or user@host:port")
    if match["user"] is not None:
        check_login(match["user"])
    check_address(match["host"].strip("[]"))
    return jump


def check_host_key(key: str) -> str:
    """Return `key` as `type base64`, without its comment."""
    words = key.split()
    if len(words) < 2 or words[0] not in _KEY_TYPES or not _is_key(words[0], words[1]):
        raise Refused(
            quoted(key), "a public key such as `ssh-ed25519 AAAA…`; `steer host trust` pins it"
        )
    return f"{words[0]} {words[1]}"


def _is_key(key_type: str, encoded: str) -> bool:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    # RFC 4253 §6.6: the blob begins with its type as a length and bytes.
    return blob.startswith(len(key_type).to_bytes(4, "big") + key_type.encode())


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


HostKey = Annotated[str, AfterValidator(check_host_key)]


class Disk(Model):
    """What steersman leaves alone of the disk that holds its root: a size, or a share of it."""

    keep_free: Room = 256 * 10**6


class HostSpec(Model):
    """How a host is reached, and what supervises and routes on it."""

    address: Annotated[str, AfterValidator(check_address)]
    port: Port = 22
    user: Annotated[str, AfterValidator(check_login)] | None = None
    identity: Plain | None = None
    host_key: Annotated[
        tuple[HostKey, ...],
        BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    ] = ()
    jump: Annotated[str, AfterValidator(check_jump)] | None = None
    become: Literal["sudo", "none"] = "none"
    supervisor: Literal["systemd", "supervisor"] = "systemd"
    proxy: Literal["nginx", "caddy", "none"] = "nginx"
    scope: Literal["system", "user"] = "system"
    root: HostFolder = "/srv/steersman"
    run_dir: HostFolder = "/run/steersman"
    disk: Disk = Disk()
    cordoned: Flag = False


CORDON = "steersman/cordon"
"""Set by `steer host cordon` and `drain`; a manifest that does not name it leaves it alone."""


class HostStatus(Model):
    """What the controller last saw of a host; `facts` are short texts such as its Python."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    facts: Mapping[str, str] = Field(default_factory=dict)
    apps: tuple[str, ...] = ()


class Host(Object):
    """A host: `kind: Host`."""

    kind: Literal["Host"] = "Host"
    spec: HostSpec
    status: HostStatus = HostStatus()

    @property
    def cordon(self) -> Literal["cordoned", "drained"] | None:
        """Whether it gets nothing new, or nothing at all; the manifest and `steer` may say so."""
        said = self.metadata.annotations.get(CORDON)
        if said == "drained":
            return "drained"
        return "cordoned" if self.spec.cordoned or said is not None else None
