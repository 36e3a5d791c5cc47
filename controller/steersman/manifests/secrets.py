"""The values of a Secret, read from where its manifest says they are."""

import os
from collections.abc import Mapping
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Refused
from steersman.api.secret import Secret, SecretSource, SecretValue, check_secret_text

MAX_BYTES = 64 * 1024


class SecretUnresolved(SteersmanError):
    """Values of a Secret are not where its manifest says."""

    def __init__(self, secret: str, faults: Mapping[str, str]) -> None:
        listed = "; ".join(f"{key}: {fault}" for key, fault in faults.items())
        super().__init__(
            f"secret {secret}: {listed}; set the variables, mend the files, then try again"
        )
        self.faults = dict(faults)


def resolve(secret: Secret, environ: Mapping[str, str], base_dir: Path) -> dict[str, SecretValue]:
    """Return the values of `secret` by their keys, without those the controller keeps already.

    Files are read beneath `base_dir`, the manifest's folder; one newline at their end is dropped.
    Raises SecretUnresolved with everything that is missing.
    """
    values: dict[str, SecretValue] = {}
    faults: dict[str, str] = {}
    for key, source in secret.spec.data.items():
        try:
            value = _resolved(source, environ, base_dir)
        except Refused as refused:
            faults[key] = str(refused)
            continue
        if value is not None:
            values[key] = value
    if faults:
        raise SecretUnresolved(secret.name, faults)
    return values


def _resolved(
    source: SecretSource, environ: Mapping[str, str], base_dir: Path
) -> SecretValue | None:
    if source.from_env is not None:
        if source.from_env not in environ:
            raise Refused(f"no variable {source.from_env}", "a variable that is set")
        return check_secret_text(environ[source.from_env])
    if source.from_file is not None:
        return check_secret_text(_read(source.from_file, base_dir))
    return source.value


def _read(name: str, base_dir: Path) -> str:
    root = os.path.realpath(base_dir)
    path = os.path.realpath(os.path.join(root, name))
    # A link out of the folder would let a repository name any file of the controller's.
    if os.path.commonpath((root, path)) != root:
        raise Refused(f"the file {name}, a link out of {base_dir}", "a file in that folder")
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise Refused(f"the file {name}: {error.strerror}", f"a file in {base_dir}") from error
    except UnicodeDecodeError:
        # The original error carries the bytes: it must not be chained.
        raise Refused(f"bytes in the file {name} that are not text", "UTF-8") from None
    if len(data) > MAX_BYTES:
        raise Refused(f"more than 64 KiB in the file {name}", "a smaller file")
    return text.removesuffix("\n").removesuffix("\r")
