"""Names that end up in paths, unit files and sites: each is checked once, here."""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.refusal import Refused, quoted

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LETTER_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_LABEL_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

MAX_NAME = 63
MAX_APP_NAME = 40
MAX_PROCESS_NAME = 24
MAX_USER = 32
MAX_SOCKET_PATH = 107
"""The bytes of `sun_path`, less its NUL (unix(7))."""


def check_name(name: str) -> str:
    """Return `name` when it is a DNS label of at most 63 characters."""
    if len(name) > MAX_NAME or not _LABEL.fullmatch(name):
        raise Refused(
            quoted(name),
            f"1 to {MAX_NAME} lower-case letters, digits and dashes, a letter or digit at each end",
        )
    return name


def check_app_name(name: str) -> str:
    """Return `name` when it can name an App: a DNS label that starts with a letter."""
    return _check_letter_label(name, MAX_APP_NAME)


def check_process_name(name: str) -> str:
    """Return `name` when it can name a process: a DNS label that starts with a letter."""
    return _check_letter_label(name, MAX_PROCESS_NAME)


def _check_letter_label(name: str, limit: int) -> str:
    if len(name) > limit or not _LETTER_LABEL.fullmatch(name):
        raise Refused(
            quoted(name),
            f"1 to {limit} lower-case letters, digits and dashes, first a letter, last no dash",
        )
    return name


def check_env_name(name: str) -> str:
    """Return `name` when every shell and supervisor takes it as a variable's name."""
    if len(name) > 255 or not _ENV_NAME.fullmatch(name):
        raise Refused(quoted(name), "letters, digits and underscores, not starting with a digit")
    return name


def check_user(user: str) -> str:
    """Return `user` when an app may run as it; root never."""
    if user == "root":
        raise Refused('"root"', "an unprivileged user; leave `user` out to get one for the app")
    if not _USER.fullmatch(user):
        raise Refused(
            quoted(user),
            f"a user name: 1 to {MAX_USER} lower-case letters, digits, dashes and underscores, "
            "not starting with a digit or dash",
        )
    return user


def check_label_key(key: str) -> str:
    """Return `key` when it is a label key as Kubernetes has them: `[prefix/]name`."""
    prefix, slash, name = key.rpartition("/")
    prefix_fits = _LABEL_PART.fullmatch(prefix) if slash else True
    if not prefix_fits or len(prefix) > 253 or len(name) > 63 or not _LABEL_PART.fullmatch(name):
        raise Refused(
            quoted(key),
            "letters, digits, dots, dashes and underscores (at most 63), after an optional prefix/",
        )
    return key


def check_label_value(value: str) -> str:
    """Return `value` when it is a label value as Kubernetes has them; it may be empty."""
    if value and (len(value) > 63 or not _LABEL_PART.fullmatch(value)):
        raise Refused(
            quoted(value),
            "at most 63 letters, digits, dots, dashes and underscores, a letter or digit at each "
            "end",
        )
    return value


Name = Annotated[
    str,
    AfterValidator(check_name),
    Field(
        examples=["web-1"],
        json_schema_extra={"pattern": f"^{_LABEL.pattern}$", "maxLength": MAX_NAME},
    ),
]
AppName = Annotated[
    str,
    AfterValidator(check_app_name),
    Field(
        examples=["shop"],
        json_schema_extra={"pattern": f"^{_LETTER_LABEL.pattern}$", "maxLength": MAX_APP_NAME},
    ),
]
ProcessName = Annotated[str, AfterValidator(check_process_name)]
EnvName = Annotated[str, AfterValidator(check_env_name)]
User = Annotated[str, AfterValidator(check_user)]
LabelKey = Annotated[str, AfterValidator(check_label_key)]
LabelValue = Annotated[str, AfterValidator(check_label_value)]


def app_user(app: str) -> str:
    """Return the Linux user that runs `app` when its manifest names none."""
    user = f"app-{app}"
    if len(user) <= MAX_USER:
        return user
    # Linux has 32 characters: a cut name keeps a digest, so that two long names stay apart.
    digest = hashlib.sha256(app.encode()).hexdigest()[:8]
    return f"{user[: MAX_USER - 9]}-{digest}"


def release_name(app: str, number: int) -> str:
    """Return the name of the Release object of `app`'s release `number`."""
    return f"{app}-{number}"


def socket_path(run_dir: str, app: str, process: str, generation: int | None = None) -> str:
    """Return where a generation listens; without one, the symlink that the proxy knows.

    Raises Refused when the kernel could not bind it.
    """
    suffix = "" if generation is None else f"-g{generation}"
    path = f"{run_dir}/{app}/{process}{suffix}.sock"
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise Refused(
            f"the socket path {quoted(path, 200)} of {len(path.encode())} bytes",
            f"at most {MAX_SOCKET_PATH} bytes; shorten the host's `runDir`",
        )
    return path
