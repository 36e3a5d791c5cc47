"""Which daemon is meant: the contexts that a person has set, and the one in use."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steersman.api.errors import SteersmanError

LOCAL = "local"
"""The context of no daemon: everything is done in this process."""

FILE = "contexts.yaml"
SOCKET = "steer.sock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
PATIENCE = 2.0


class BadContext(SteersmanError):
    """A context that cannot be used."""


@dataclass(frozen=True, slots=True)
class Context:
    """How a daemon is reached: by `unix:///path`, `https://host:port` or `ssh://user@host`.

    `ca` is a file of certificates to trust, `fingerprint` the SHA-256 of the daemon's own.
    """

    name: str
    server: str
    ca: str | None = None
    fingerprint: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"Context({self.name!r}, {self.server!r})"

    @property
    def scheme(self) -> str:
        return urlsplit(self.server).scheme

    @property
    def is_elsewhere(self) -> bool:
        """Whether the daemon may run on another machine than this."""
        return self.scheme != "unix"


@dataclass(frozen=True, slots=True)
class Contexts:
    """What contexts.yaml says."""

    current: str | None
    known: Mapping[str, Context]

    def named(self, name: str) -> Context:
        """Return a context; raises BadContext with those there are."""
        if name not in self.known:
            there = ", ".join([LOCAL, *self.known])
            raise BadContext(
                f"there is no context {name!r}; there are {there}:"
                " `steer config set-context NAME --server URL` makes one"
            )
        return self.known[name]


def config_file() -> Path:
    """Return $XDG_CONFIG_HOME/steersman/contexts.yaml, or that in ~/.config."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    return root / "steersman" / FILE


def checked(context: Context) -> Context:
    """Return `context` if it can be used; raises BadContext."""
    if not _NAME.fullmatch(context.name) or context.name == LOCAL:
        raise BadContext(
            f"context {context.name[:63]!r}: choose another name: letters, digits, dots and dashes,"
            f" and not {LOCAL}, which means no daemon"
        )
    parts = urlsplit(context.server)
    is_right = {
        "unix": parts.path.startswith("/") and not parts.netloc,
        "https": bool(parts.hostname) and parts.path in ("", "/"),
        "ssh": bool(parts.hostname) and not (parts.hostname or "").startswith("-"),
    }
    if not is_right.get(parts.scheme, False) or parts.password is not None:
        raise BadContext(
            f"context {context.name}: server {context.server[:100]!r} is none of https://HOST:PORT,"
            " ssh://USER@HOST and unix:///PATH; plain http would show the token to everybody"
        )
    if context.fingerprint is not None and not _FINGERPRINT.fullmatch(context.fingerprint):
        raise BadContext(
            f"context {context.name}: write the fingerprint as sha256: and 64 hexadecimal digits"
        )
    return context


def read_contexts(path: Path | None = None) -> Contexts:
    """Return what a file says; one that is not there says nothing. Raises BadContext."""
    path = path if path is not None else config_file()
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except FileNotFoundError:
        return Contexts(None, {})
    except (OSError, UnicodeDecodeError) as error:
        raise BadContext(f"{path} cannot be read: {error}; mend or remove it") from error
    if stat.S_IMODE(mode) & 0o077:
        raise BadContext(f"{path} holds tokens and others may read it; run `chmod 600 {path}`")
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> Contexts:
    import yaml

    try:
        data = yaml.safe_load(text) or {}
        known = [Context(**each) for each in data.get("contexts") or ()]
        current = data.get("current")
    except (yaml.YAMLError, TypeError, AttributeError):
        # The error would show the line, and that may hold a token.
        raise BadContext(
            f"{path} is not as `steer config set-context` writes it; mend or remove it"
        ) from None
    found = {each.name: checked(each) for each in known}
    if current is not None and current != LOCAL and current not in found:
        raise BadContext(f"{path}: the current context {str(current)[:63]!r} is not among them")
    return Contexts(current, found)


def write_contexts(contexts: Contexts, path: Path | None = None) -> Path:
    """Write the file whole, readable by its owner only."""
    import yaml

    path = path if path is not None else config_file()
    listed: list[dict[str, Any]] = [
        {key: value for key, value in asdict(each).items() if value is not None}
        for each in contexts.known.values()
    ]
    text = yaml.safe_dump({"current": contexts.current, "contexts": listed}, sort_keys=False)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def chosen(named: str | None, folder: Path, *, is_folder_named: bool) -> Context | None:
    """Return the daemon to speak to, None for no daemon: all is done in this process.

    In turn: the context that was `named`, that of $STEER_CONTEXT, the current one (unless a state
    folder was named), and whoever answers on the socket in the state folder.
    """
    wanted = named or os.environ.get("STEER_CONTEXT") or None
    if wanted == LOCAL:
        return None
    if wanted is None and not is_folder_named:
        wanted = read_contexts().current
        if wanted == LOCAL:
            return None
    if wanted is not None:
        return _with_token(read_contexts().named(wanted))
    path = folder / SOCKET
    return Context(LOCAL, f"unix://{path}") if answers(path) else None


def _with_token(context: Context) -> Context:
    token = os.environ.get("STEER_TOKEN")
    return replace(context, token=token) if token else context


def answers(path: Path) -> bool:
    """Return whether a daemon listens on a socket; a file that a dead one left is nobody."""
    if not path.exists():
        return False
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
