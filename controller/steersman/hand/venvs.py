"""Virtual environments, written from packs: wheels as the files that they install."""

from __future__ import annotations

import json
import os
import sys
import zlib

from . import blobs, files
from .place import CHILD_ENV, Place, run
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterator, List, Set, Tuple

MARK = "steersman.json"
MOST_INDEX = 64 << 20
# Larger ones would be mapped, cleared and unmapped by the kernel each time.
CHUNK = 1 << 16
# Longer first lines are cut off by older kernels (execve(2)), and none may hold a space.
MOST_SHEBANG = 127


def venv_of(
    place: Place, app: str, packs: "List[Tuple[str, str]]", python: str, is_compiled: bool
) -> str:
    """Return the app's venv of these packs, made if it is not there whole.

    Most releases change none of their wheels. A venv cannot be moved once made, so it is made
    under its final name, and its mark comes last.
    """
    from hashlib import sha256

    program = base_python(python)
    # Another Python may come to the same path; its venv has its version in its folders' names.
    content = json.dumps([sorted(packs), python, program])
    venv = place.app(app, "venvs", sha256(content.encode()).hexdigest()[:16])
    mark = os.path.join(venv, MARK)
    if not os.path.exists(mark):
        files.remove(venv)
        try:
            _make(place, venv, packs, python, program)
            if not is_compiled:
                compile_all(venv, os.path.join(venv, "lib"))
            files.sync_filesystem(venv)
            files.write_file(mark, content.encode(), 0o644)
        except BaseException:
            files.remove(venv)
            raise
    return venv


def compile_all(venv: str, folder: str) -> None:
    """Compile what is in `folder`: its app cannot write there, and would do it at every start."""
    argv = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", folder]
    run([os.path.join(venv, "bin", "python"), *argv])


def base_python(python: str) -> str:
    """Return the path of the host's own Python of this minor version."""
    if python == "%d.%d" % sys.version_info[:2]:
        return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    for folder in CHILD_ENV["PATH"].split(":"):
        path = os.path.join(folder, "python" + python)
        if os.access(path, os.X_OK):
            return os.path.realpath(path)
    raise Refused("missing-program", "python%s is not installed here" % python)


def _make(
    place: Place, venv: str, packs: "List[Tuple[str, str]]", python: str, program: str
) -> None:
    site = os.path.join(venv, "lib", "python" + python, "site-packages")
    programs = os.path.join(venv, "bin")
    os.makedirs(site)
    os.makedirs(programs)
    os.symlink("lib", os.path.join(venv, "lib64"))
    os.symlink(program, os.path.join(programs, "python"))
    for name in ("python3", "python" + python):
        os.symlink("python", os.path.join(programs, name))
    settings = "home = %s\nversion = %s\ninclude-system-site-packages = false\n"
    text = settings % (os.path.dirname(program), python)
    files.write_file(os.path.join(venv, "pyvenv.cfg"), text.encode(), 0o644)
    folders = {site, programs}
    for name, sha256 in packs:
        path = blobs.path_of(place, sha256)
        try:
            with open(path, "rb") as file:
                _unpack(file, venv, folders)
        except (zlib.error, ValueError) as error:
            # It was whole when it came: the disk has lost it since, and only a new one helps.
            files.remove(path)
            raise Refused("corrupt", "the pack of %s was damaged: %s" % (name, error))


def _unpack(file: BinaryIO, venv: str, folders: "Set[str]") -> None:
    """Write every file of a pack; `builds/packs.py` says what one looks like."""
    stream = Stream(file)
    length = int.from_bytes(stream.take(4), "big")
    if length > MOST_INDEX:
        raise ValueError("an index of %d bytes" % length)
    for path, mode, size, is_script in json.loads(stream.take(length)):
        target = files.inside(venv, path)
        files.make_parents(target, folders)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(target, flags, mode)
        try:
            if is_script:
                os.write(fd, shebang(os.path.join(venv, "bin", "python")))
            for chunk in stream.chunks(size):
                while chunk:
                    chunk = chunk[os.write(fd, chunk) :]
        finally:
            os.close(fd)
    stream.end()


def shebang(python: str) -> bytes:
    """Return the first lines of a script that `python` is to run."""
    line = "#!%s\n" % python
    if len(line) <= MOST_SHEBANG and " " not in python:
        return line.encode()
    # Both languages understand these: sh starts Python, which takes them for a text.
    return ("#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''\n" % python).encode()


class Stream:
    """What a zlib file unpacks to, never more than a chunk of it in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zlib = zlib.decompressobj()
        self._ready = memoryview(b"")

    def take(self, count: int) -> bytes:
        return b"".join(self.chunks(count))

    def chunks(self, count: int) -> Iterator[memoryview]:
        """Yield the next `count` bytes in parts."""
        while count:
            if not self._ready and not self._more():
                raise ValueError("it ends too early")
            part = self._ready[:count]
            self._ready = self._ready[len(part) :]
            count -= len(part)
            yield part

    def end(self) -> None:
        """Make sure that the file ends here: only then is its checksum compared."""
        if self._ready or self._more() or not self._zlib.eof:
            raise ValueError("it does not end where it should")

    def _more(self) -> bool:
        while not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._file.read(CHUNK)
            if not packed:
                return False
            self._ready = memoryview(self._zlib.decompress(packed, CHUNK))
            if self._ready:
                return True
        return False
