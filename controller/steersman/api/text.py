"""Text that people write in a spec: commands, variables and paths, checked before anything runs."""

import re
import shlex
import unicodedata
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from steersman.api.refusal import Refused, quoted

Argv = tuple[str, ...]

_SHELL_WORDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "<<", "2>", "2>&1", "&>"})
_SHELL_SYNTAX = re.compile(r"`|\$\(|\$\{[A-Za-z0-9_]*[^A-Za-z0-9_}]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_AS_LIST = 'plain words; for a shell write ["sh", "-c", "…"]'


def has_control(text: str, *, but: str = "") -> bool:
    """Return whether `text` holds a C0, DEL or C1 control character other than those in `but`."""
    return any(unicodedata.category(char) == "Cc" and char not in but for char in text)


def split_command(text: str) -> Argv:
    """Return the words of a command line, split as a shell would; no shell syntax is accepted."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        unclosed = str(error).lower()
        raise Refused(f"{quoted(text)} ({unclosed})", "words with every quote closed") from error
    for word in words:
        if word in _SHELL_WORDS or word.endswith(";"):
            raise Refused(f"the shell operator {quoted(word)} in {quoted(text)}", _AS_LIST)
    if syntax := _SHELL_SYNTAX.search(text):
        raise Refused(
            f"the shell syntax {quoted(syntax[0])} in {quoted(text)}",
            f"{_AS_LIST}; $NAME and ${{NAME}} are replaced without one",
        )
    if words and _ASSIGNMENT.match(words[0]):
        raise Refused(f"the assignment {quoted(words[0])}", "a program first; put it under `env`")
    return words


def parse_command(value: object) -> Argv:
    """Return the argv of a command given as one line or as a list of words."""
    if isinstance(value, str):
        words = split_command(value)
    elif isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        words = tuple(value)
    else:
        raise Refused(
            "a list with something that is not text" if isinstance(value, Sequence) else "no text",
            "a command line, or a list of words (numbers in quotes)",
        )
    if not words or not words[0]:
        raise Refused("an empty command", "a program and its arguments")
    for word in words:
        if has_control(word, but="\t"):
            raise Refused(f"a control character in {quoted(word)}", "words on one line")
    return words


def check_env_value(value: str) -> str:
    """Return `value` when an environment file can hold it on one line."""
    if has_control(value, but="\t"):
        raise Refused(
            f"a newline or control character in {quoted(value)}",
            "one line of text; encode longer text, for example as base64",
        )
    return value


def check_inner_path(path: str) -> str:
    """Return `path` when it is relative and stays in its folder, whatever that folder is."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or has_control(path):
        raise Refused(quoted(path), "a relative path that stays in its folder: no leading / or ..")
    _check_parts(path, parts)
    return path


def check_local_path(path: str) -> str:
    """Return `path` when it is absolute, or relative and within the manifest's folder."""
    if path.startswith("/") and not has_control(path):
        _check_parts(path, path.split("/"))
        return path
    if ".." in path.split("/"):
        raise Refused(
            quoted(path), "a path inside the manifest's folder; write an absolute one to leave it"
        )
    return check_inner_path(path)


def _check_parts(path: str, parts: Sequence[str]) -> None:
    if unicodedata.normalize("NFC", path) != path:
        raise Refused(quoted(path), "a path in Unicode's composed form (NFC)")
    if any(len(part.encode()) > 255 for part in parts) or len(path.encode()) > 4095:
        raise Refused(quoted(path), "at most 255 bytes for each part of a path")


_HOST_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")


def check_host_folder(path: str) -> str:
    """Return `path` when it is absolute and plain enough for every file that will name it."""
    parts = path.split("/")
    if not _HOST_FOLDER.fullmatch(path) or {".", ".."} & set(parts):
        raise Refused(
            quoted(path),
            "an absolute path of letters, digits, dots, dashes and underscores, without . or ..",
        )
    return path


def check_plain(value: str) -> str:
    """Return `value` when it is not empty, is no option and holds no control character."""
    if not value or value.startswith("-") or has_control(value):
        raise Refused(quoted(value), "text without control characters, not starting with a dash")
    return value


Command = Annotated[
    Argv,
    BeforeValidator(parse_command, json_schema_input_type=str | list[str]),
    Field(examples=["gunicorn shop.wsgi", ["sh", "-c", "echo $HOME"]]),
]
EnvValue = Annotated[str, AfterValidator(check_env_value)]
InnerPath = Annotated[str, AfterValidator(check_inner_path)]
LocalPath = Annotated[str, AfterValidator(check_local_path)]
HostFolder = Annotated[str, AfterValidator(check_host_folder)]
Plain = Annotated[str, AfterValidator(check_plain)]
