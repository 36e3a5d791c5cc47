"""A file of manifests whose Secrets are sealed in place."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.api.secret import Secret, SecretSource
from steersman.manifests import Sourced, load
from steersman.manifests.edits import CannotEdit, with_recipients, with_sealed
from steersman.sealing.values import seal_value

_BOM = "\ufeff"


class SecretFile:
    """Changes are kept in memory until `save`, which writes the file whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._objects = {each.obj.key: each for each in load([path]).objects}
        self._text = path.read_bytes().decode()
        self._wanted = {key: each.obj for key, each in self._objects.items()}
        if not self.secrets:
            raise SteersmanError(f"{path} holds no Secret; name a file with `kind: Secret`")

    @property
    def secrets(self) -> Sequence[Sourced]:
        """The Secrets as they were read."""
        return [each for each in self._objects.values() if isinstance(each.obj, Secret)]

    def written(self) -> Sequence[Secret]:
        """Return the Secrets as the file says them once it is saved."""
        return [each for each in self._wanted.values() if isinstance(each, Secret)]

    def named(self, name: str | None) -> Sourced:
        """Return the Secret of this name, or the only one; raises when that is not clear."""
        names = [each.obj.name for each in self.secrets]
        for each in self.secrets:
            if each.obj.name == name or (name is None and len(names) == 1):
                return each
        raise SteersmanError(
            f"{self.path} has the secrets {', '.join(names)}; say which with --secret NAME"
        )

    def put(self, secret: str, values: Mapping[str, str], recipients: Sequence[str]) -> None:
        """Seal `values` to the recipients, and note these in the file."""
        seen = self._wanted[f"Secret/{secret}"]
        if not isinstance(seen, Secret):
            raise CannotEdit(f"{self.path}: there is no secret {secret}")
        mark = _BOM if self._text.startswith(_BOM) else ""
        text, data = self._text.removeprefix(mark), dict(seen.spec.data)
        try:
            for key, value in values.items():
                sealed = seal_value(secret, key, value, recipients)
                text = with_sealed(text, secret, key, sealed)
                data[key] = SecretSource(sealed=sealed)
            if tuple(recipients) != seen.spec.recipients:
                text = with_recipients(text, secret, recipients)
        except CannotEdit as error:
            raise CannotEdit(f"{self.path}: {error}") from None
        self._text = mark + text
        spec = seen.spec.model_copy(update={"data": data, "recipients": tuple(recipients)})
        self._wanted[seen.key] = seen.model_copy(update={"spec": spec})

    def save(self) -> None:
        """Write the file, after reading back that it says what is meant and nothing else."""
        encoded = self._text.encode()
        said = {each.obj.key: each.obj for each in load(["-"], stdin=encoded).objects}
        # The paths of others depend on where they are read: that they are there must do.
        is_meant = said.keys() == self._wanted.keys() and all(
            said[key] == obj for key, obj in self._wanted.items() if isinstance(obj, Secret)
        )
        if not is_meant:
            raise CannotEdit(
                f"{self.path} cannot be changed in place as it is written; write each key of"
                " spec.data on a line of its own, then try again"
            )
        write_whole(Path(os.path.realpath(self.path)), encoded)


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file by one with the same mode; at any instant it is the old or the new one."""
    mode = stat.S_IMODE(path.stat().st_mode)
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
