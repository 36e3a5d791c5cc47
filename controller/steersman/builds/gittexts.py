"""The manifests of a commit, read from its tree: nothing is ever checked out."""

from pathlib import Path, PurePosixPath

from steersman.builds.children import Progress
from steersman.builds.errors import SourceRefused, SourceUnreachable
from steersman.builds.gitcli import GitCli, reason
from steersman.builds.gitnames import inner_folder, source_name
from steersman.builds.model import GitSource
from steersman.builds.paths import check_path
from steersman.builds.text import printable

MOST_FILES = 1000
MOST_BYTES = 16 << 20

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_REGULAR = ("100644", "100755")

Entry = tuple[str, int, str]


async def read_texts(
    git: GitCli, folder: Path, source: GitSource, commit: str, progress: Progress
) -> dict[str, bytes]:
    """Return the .yaml, .yml and .json files of a commit (of its folder `source.path`), by path.

    Hidden ones are left out, as `steer apply` leaves them out. Raises SourceRefused when there is
    more than anybody writes by hand.
    """
    inner = inner_folder(source)
    root = commit if inner is None else f"{commit}:{inner}"
    words = ["ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", root]
    done = await git.run(words, folder)
    if done.code != 0:
        why = f"commit {commit[:12]} has no folder {inner} ({reason(done)})"
        raise SourceRefused(source_name(source), why, "correct spec.path")
    raw = [each for each in done.stdout.split(b"\0") if each]
    entries = [entry for each in raw if (entry := _entry(each, progress)) is not None]
    _check(source, entries)
    asked = "".join(f"{oid}\n" for oid, _, _ in entries).encode()
    done = await git.run(["cat-file", "--batch"], folder, stdin=asked)
    return dict(_texts(source, entries, done.stdout, "" if inner is None else f"{inner}/"))


def _entry(raw: bytes, progress: Progress) -> Entry | None:
    """Return what one line says of a manifest; None where it is none."""
    facts, name = raw.split(b"\t", 1)
    mode, _, oid, size = facts.decode("ascii").split()
    path = name.decode("utf-8", "surrogateescape")
    parts = PurePosixPath(path).parts
    if PurePosixPath(path).suffix not in _SUFFIXES or any(part.startswith(".") for part in parts):
        return None
    if mode not in _REGULAR:
        progress(f"left out {printable(path)}: only regular files are read")
        return None
    return oid, int(size), path


def _check(source: GitSource, entries: list[Entry]) -> None:
    name = source_name(source)
    for _, _, path in entries:
        check_path(name, path)
    size = sum(each for _, each, _ in entries)
    if len(entries) > MOST_FILES or size > MOST_BYTES:
        raise SourceRefused(
            name,
            f"{len(entries)} manifests of {size} bytes are more than {MOST_FILES} or {MOST_BYTES}",
            "name the folder that they lie in with spec.path",
        )


def _texts(
    source: GitSource, entries: list[Entry], rest: bytes, prefix: str
) -> list[tuple[str, bytes]]:
    texts = []
    for oid, size, path in entries:
        header, _, rest = rest.partition(b"\n")
        if header != f"{oid} blob {size}".encode():
            raise SourceUnreachable(source_name(source), f"object {oid} is missing")
        texts.append((prefix + path, rest[:size]))
        rest = rest[size + 1 :]
    return texts
