"""Files of trusted host keys: the person's own, the machine's, and the one that we write."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from steersman.transport.target import Target

_DEFAULT_PORT = 22


def openssh_files() -> tuple[Path, ...]:
    """Return the known_hosts files that `ssh` itself asks."""
    return (Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts"))


def host_pattern(address: str, port: int | None) -> str:
    """Return how known_hosts files spell a destination: `name`, or `[name]:port`."""
    return address if port in (None, _DEFAULT_PORT) else f"[{address}]:{port}"


class KnownHosts:
    """The file where `steer host trust` pins keys, in the format that OpenSSH reads.

    Replaced as a whole under a lock, so that a crash or a second `steer` never leaves half a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self, target: Target) -> tuple[str, ...]:
        """Return the key lines (`ssh-ed25519 AAAA…`) that are pinned for `target`."""
        pattern = host_pattern(target.address, target.port)
        return tuple(key for host, _, key in self._entries() if host == pattern)

    def pin(self, target: Target, keys: Sequence[str], *, replace: bool = False) -> None:
        """Trust `keys` for `target`, besides those that are trusted already or instead of them."""
        pattern = host_pattern(target.address, target.port)
        with self._locked():
            entries = [entry for entry in self._entries() if not (replace and entry[0] == pattern)]
            fresh = [(pattern, " ", " ".join(key.split()[:2])) for key in keys]
            merged = dict.fromkeys(entries + fresh)
            self._write("".join(f"{''.join(entry)}\n" for entry in merged))

    def _entries(self) -> list[tuple[str, str, str]]:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return []
        return [line.partition(" ") for line in text.splitlines() if line.strip()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file itself is renamed away, so the lock needs one that stays.
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, text: str) -> None:
        # mkstemp makes it 0600.
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".known_hosts-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
