"""The private keys of this controller: one file that only its user may read."""

import os
import stat
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from steersman.sealing.age import AGE_KEY, SSH_KEY, BadKey, PrivateKey, new_key, parse_key

KEY_FILE = "age.key"
_MOST_BYTES = 64 * 1024


class NoKey(BadKey):
    """The key file is not there."""


class Keyring:
    """The keys in a file as age-keygen writes it, or one OpenSSH private key; read on first use.

    The first key is the controller's own; the others are older ones, kept to open what was sealed
    to them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: tuple[PrivateKey, ...] | None = None

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def keys(self) -> Sequence[PrivateKey]:
        """Return every key; raises BadKey, or NoKey when there is no file."""
        if self._keys is None:
            self._keys = self._read()
        return self._keys

    def recipient(self) -> str:
        """Return what to seal to so that this controller can open it; raises BadKey."""
        return self.keys()[0].recipient or self._ssh_public()

    def recipients(self) -> list[str]:
        """Return the recipients of all keys, older ones too."""
        return [key.recipient or self._ssh_public() for key in self.keys()]

    def make(self) -> bool:
        """Make the file with a new key unless there is one; return whether it was made."""
        if self.exists:
            return False
        try:
            self._write(_entry(new_key()), is_new=True)
        except FileExistsError:
            return False
        return True

    def renew(self) -> str:
        """Put a new key before the others and return its recipient; raises BadKey."""
        text = self._text()
        if text.startswith(SSH_KEY):
            raise BadKey(
                f"{self.path} is an ssh key, which is not steersman's to replace; name a file"
                " of age keys with --identity"
            )
        self._write(_entry(new_key()) + text, is_new=False)
        return self.recipient()

    def _read(self) -> tuple[PrivateKey, ...]:
        text = self._text()
        try:
            if text.startswith(SSH_KEY):
                return (parse_key(text),)
            lines = [line.strip() for line in text.splitlines()]
            keys = tuple(parse_key(line) for line in lines if line and line[0] != "#")
        except BadKey as error:
            raise BadKey(f"{self.path}: {error}") from None
        if not keys:
            raise BadKey(
                f"{self.path} holds no line {AGE_KEY}…; make it with `steer secret keygen`"
            )
        return keys

    def _text(self) -> str:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoKey(
                f"there is no key file {self.path}; make one with `steer secret keygen`, or name"
                " yours in STEER_AGE_KEY_FILE"
            ) from None
        except OSError as error:
            raise BadKey(f"{self.path}: {error.strerror}; make it readable to you") from error
        try:
            _refuse_shared(self.path, os.fstat(fd))
            return os.read(fd, _MOST_BYTES).decode("utf-8", "replace")
        finally:
            os.close(fd)

    def _ssh_public(self) -> str:
        path = self.path.with_name(self.path.name + ".pub")
        try:
            return path.read_text().strip()
        except OSError as error:
            raise BadKey(
                f"{self.path} is an ssh key, and its public half {path} cannot be read"
                f" ({error.strerror}); write it with `ssh-keygen -y -f {self.path}`"
            ) from error

    def _write(self, text: str, *, is_new: bool) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd, temporary = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with open(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            if is_new:
                # Unlike a rename, a link never replaces a key that another process made meanwhile.
                os.link(temporary, self.path)
            else:
                os.replace(temporary, self.path)
        finally:
            Path(temporary).unlink(missing_ok=True)
            self._keys = None
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def _refuse_shared(path: Path, seen: os.stat_result) -> None:
    mode = stat.S_IMODE(seen.st_mode)
    if not stat.S_ISREG(seen.st_mode):
        raise BadKey(f"{path} is not a regular file; name a file of keys")
    if mode & 0o077:
        raise BadKey(f"others may read {path} (mode {mode:04o}); run `chmod 600 {path}`")


def _entry(key: str) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"# created: {now}\n# public key: {parse_key(key).recipient}\n{key}\n"
