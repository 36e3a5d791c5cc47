"""Values of Secrets from files beside the manifest, and whether a manifest may name a command."""

import os
import stat
from pathlib import Path

from steersman.api.refusal import Refused
from steersman.manifests.loading import STDIN

MAX_BYTES = 64 * 1024


def read_beside(name: str, base_dir: Path) -> str:
    """Return the text of a file beneath `base_dir`, the manifest's folder; raises Refused.

    One newline at its end is dropped.
    """
    root = os.path.realpath(base_dir)
    path = os.path.realpath(os.path.join(root, name))
    # A link out of the folder would let a repository name any file of the controller's.
    if os.path.commonpath((root, path)) != root:
        raise Refused(f"the file {name}, a link out of {base_dir}", "a file in that folder")
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refused(f"the file {name}: {error.strerror}", f"a file in {base_dir}") from error
    return text_of(data, f"the file {name}")


def text_of(data: bytes, what: str) -> str:
    """Return what a file or command gave as one value; raises Refused, without any of it."""
    if len(data) > MAX_BYTES:
        raise Refused(f"more than 64 KiB in {what}", "less")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # The original error carries the bytes: it must not be chained.
        raise Refused(f"bytes in {what} that are not text", "UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def refuse_strangers(manifest: str) -> None:
    """Raise Refused unless only this user and root can have written the manifest.

    Whoever writes a `fromExec` chooses what runs here, as this user.
    """
    if manifest == STDIN:
        raise Refused(
            "a command in what came from standard input", "one in a file of yours: save it first"
        )
    path = os.path.realpath(manifest)
    for each in (path, os.path.dirname(path)):
        seen = os.stat(each)
        if seen.st_uid not in (0, os.geteuid()):
            raise Refused(
                f"a command in a manifest of somebody else's: {each} belongs to user {seen.st_uid}",
                "one in a file and folder of yours",
            )
        if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not seen.st_mode & stat.S_ISVTX:
            raise Refused(
                f"a command in a manifest that others may change: {each} is writable to them",
                f"one that only you can write; run `chmod go-w {each}`",
            )
