"""Files, folders and standard input -> objects, or every problem in them at once."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from steersman.api.objects import MANIFEST_KINDS
from steersman.api.refusal import Refused
from steersman.manifests.document import Sourced, Text, fault_of, read_object
from steersman.manifests.problem import ManifestErrors, Mark, Problem
from steersman.manifests.tree import Node, Unreadable, read_trees

MAX_BYTES = 4 * 1024 * 1024
STDIN = "<stdin>"

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
# YAML 1.2 §5.1: everything else is refused in a stream; U+FEFF only begins one.
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the manifests say: what others refer to comes first, then the order of reading."""

    objects: tuple[Sourced, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """What can be read of manifests, and what is wrong with the files that cannot.

    No object of a broken file is in `objects`, not even one that could be read.
    """

    objects: tuple[Sourced, ...]
    broken: Mapping[str, ManifestErrors]


def load_sound(paths: Sequence[str | Path], *, recursive: bool = False) -> Sound:
    """Return every object in the files that are sound; a broken one spoils no other."""
    loader = Loader(None)
    for path in paths:
        loader.load(str(path), recursive=recursive)
    faults: dict[str, list[Problem]] = {}
    for problem in loader.problems:
        faults.setdefault(problem.file, []).append(problem)
    sound = (each for each in loader.sourced.values() if each.file not in faults)
    broken = {file: ManifestErrors(problems) for file, problems in faults.items()}
    return Sound(tuple(sorted(sound, key=_rank)), broken)


def load(
    paths: Sequence[str | Path],
    *,
    recursive: bool = False,
    stdin: bytes | TextIO | BinaryIO | None = None,
) -> Loaded:
    """Return every object in files, folders and `-` (standard input).

    A folder gives its .yaml, .yml and .json files, with `recursive` those of its folders too;
    hidden ones are left out. Raises ManifestErrors with everything that is wrong.
    """
    loader = Loader(stdin)
    for path in paths:
        loader.load(str(path), recursive=recursive)
    if not loader.problems and not loader.sourced:
        names = ", ".join(str(path) for path in paths) or "no files"
        loader.complain(names, "no objects", "at least one; folders need -R to look into theirs")
    return loader.loaded()


def load_texts(texts: Sequence[Text]) -> Loaded:
    """Return every object in texts that are no files, such as what a chart renders; it may be none.

    Raises ManifestErrors with everything that is wrong.
    """
    loader = Loader(None)
    for text in texts:
        loader.take(text)
    return loader.loaded()


def load_commit(texts: Mapping[str, bytes], base_dir: Path) -> Loaded:
    """Return every object in the files of a commit, by their paths; it may be none.

    Relative paths count from `base_dir`. Raises ManifestErrors with everything that is wrong.
    """
    loader = Loader(None)
    for name, data in texts.items():
        loader.load_bytes(name, base_dir, data)
    return loader.loaded()


class Loader:
    """Gathers objects and problems, file by file."""

    def __init__(self, stdin: bytes | TextIO | BinaryIO | None) -> None:
        self.problems: list[Problem] = []
        self.sourced: dict[str, Sourced] = {}
        self._stdin = stdin
        self._read: set[str] = set()

    def complain(self, name: str, found: str, allowed: str) -> None:
        self.problems.append(Problem(name, None, "", found, allowed))

    def load(self, path: str, *, recursive: bool) -> None:
        try:
            if path == "-":
                self._load_stdin()
                return
            for file in files_in(path, recursive=recursive):
                self._load_file(file)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.complain(path, why or str(error), "a file or folder that can be read")

    def _load_stdin(self) -> None:
        if self._stdin is None:
            self.complain(STDIN, "no standard input", "files and folders")
            return
        data = self._stdin if isinstance(self._stdin, bytes) else self._stdin.read(MAX_BYTES + 1)
        if isinstance(data, str):
            # What is not UTF-8 must come back as bytes that are not, to be told with its place.
            data = data.encode(errors="surrogatepass")
        self.load_bytes(STDIN, Path.cwd(), data)

    def _load_file(self, file: str) -> None:
        real = os.path.realpath(file)
        if real in self._read:
            return
        self._read.add(real)
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        self.load_bytes(file, Path(file).parent, data)

    def load_bytes(self, name: str, base_dir: Path, data: bytes) -> None:
        """Read a file that is called `name`."""
        if len(data) > MAX_BYTES:
            self.complain(name, "more than 4 MiB", "a smaller file")
            return
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8-sig", "replace")
            source = Text(name, base_dir, before)
            refused = Refused(f"the byte 0x{data[error.start]:02x}", "UTF-8 text")
            self.problems.append(source.problem(fault_of(_end(before), (), refused)))
            return
        self.take(Text(name, base_dir, text))

    def take(self, source: Text) -> None:
        """Read a text that is already decoded."""
        if bad := _UNPRINTABLE.search(source.text):
            refused = Refused(f"the character U+{ord(bad[0]):04X}", "printable text")
            place = _end(source.text[: bad.start()])
            self.problems.append(source.problem(fault_of(place, (), refused)))
            return
        self._load_text(source)

    def loaded(self) -> Loaded:
        """Return what was gathered, or raise ManifestErrors with what is wrong."""
        if self.problems:
            raise ManifestErrors(self.problems)
        return Loaded(tuple(sorted(self.sourced.values(), key=_rank)))

    def _load_text(self, source: Text) -> None:
        found: list[Problem] = []
        trees = read_trees(
            source.text,
            lambda mark, path, refused: found.append(source.problem(fault_of(mark, path, refused))),
        )
        try:
            for root in trees:
                self.take_root(source, root, found)
        except Unreadable:
            pass  # The reason is the last of what was found.
        self.problems += sorted(found, key=_position)

    def take_root(self, source: Text, root: Node, found: list[Problem]) -> None:
        """Gather one document, or add what is wrong with it to `found`."""
        result = read_object(source, root)
        if isinstance(result, list):
            # A value that could not even be read has no second fault.
            known = {problem.mark for problem in found}
            found += [problem for problem in result if problem.mark not in known]
            return
        first = self.sourced.setdefault(result.obj.key, result)
        if first is not result:
            place = f"{first.file}:{first.line}"
            found.append(
                result.problem(
                    ("metadata", "name"),
                    f"{result.obj.key} again, first in {place}",
                    "each object once",
                )
            )


def files_in(path: str, *, recursive: bool) -> Iterator[str]:
    """Yield the manifests of a folder, or the one file that `path` is."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = sorted(each for each in folders if recursive and not each.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1] in _SUFFIXES and not name.startswith("."):
                yield os.path.join(folder, name)


def _rank(sourced: Sourced) -> int:
    return MANIFEST_KINDS.index(sourced.obj.kind)


def _raise(error: OSError) -> None:
    raise error


def _end(text: str) -> Mark:
    lines = text.split("\n")
    return Mark(len(lines), len(lines[-1]) + 1)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark is not None else (0, 0)
