"""The hand as bytes: its modules packed once, and the one constant command that starts it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import marshal
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Literal

PACKAGE = "steer_hand"
READY = b"\0steersman-hand-ready\0"
WANTED = b"\0steersman-hand-wanted\0"
"""What a host says that has no copy of the hand from an earlier visit."""
APART = frozenset({"jobrun.py", "celeryrun.py"})
"""What runs on hosts by itself, and the hand never imports."""
TOO_OLD = "steersman: this python3 is too old: "
CUT_SHORT = "steersman: the hand was cut short"
ALTERED = "steersman: the hand was altered on its way"

# Only characters that mean nothing between single quotes in sh, csh and fish. Old Pythons must
# parse it to say that they are too old. hashlib would load OpenSSL: half of an interpreter's start.
_BOOTSTRAP = """\
import sys
if sys.version_info < (3, 9):
 sys.exit({too_old!r} + sys.version.split()[0])
import marshal, os, zlib
try:
 from _sha2 import sha256
except ImportError:
 try:
  from _sha256 import sha256
 except ImportError:
  from hashlib import sha256
def take(n, fd=0):
 parts = []
 while n:
  part = os.read(fd, min(n, 1048576))
  if not part:
   sys.exit({cut_short!r})
  parts.append(part)
  n -= len(part)
 return b"".join(parts)
def kept(path):
 try:
  fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
 except OSError:
  return b""
 try:
  about = os.fstat(fd)
  plain = about.st_mode & 0o170022 == 0o100000 and about.st_uid in (0, os.geteuid())
  return take({size}, fd) if plain and about.st_size == {size} else b""
 finally:
  os.close(fd)
def good(packed):
 return sha256(packed).hexdigest() == {digest!r}
store, settings = (take(int.from_bytes(take(4), "big")) for _ in "ab")
packed = kept(os.path.join(store, {digest!r}.encode())) if store else b""
new = not good(packed)
if new:
 os.write(1, {wanted!r})
 packed = take({size})
if good(packed):
 loader, magic, modules = marshal.loads(zlib.decompress(packed))
 scope = {{"__name__": "steer_loader"}}
 exec(loader, scope)
 scope["run"](modules, magic, settings, {ready!r}, {digest!r}, packed if new else b"")
else:
 sys.exit({altered!r})
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The hand, and the command that starts it.

    That reads where the host's store is and the settings, and takes what an earlier visit left
    in the store if that is the very same; else it says WANTED and reads `packed`.
    """

    packed: bytes
    command: str

    def for_user(self, become: Literal["sudo", "none"]) -> str:
        return f"exec sudo -n -- {self.command}" if become == "sudo" else f"exec {self.command}"


def make_bundle(sources: Mapping[str, bytes]) -> Bundle:
    """Pack modules by their names inside the package (`__init__`, `main`, …).

    Each goes as source and as bytecode of this Python: a host with the same one compiles nothing.
    """
    return _bundle(_packed(sources))


def _packed(sources: Mapping[str, bytes]) -> bytes:
    modules = {
        PACKAGE if name == "__init__" else f"{PACKAGE}.{name}": source
        for name, source in sources.items()
    }
    compiled = {name: (source, _compile(name, source)) for name, source in sorted(modules.items())}
    # Version 2 of marshal, without references, is what every Python since 2.5 reads alike.
    content = marshal.dumps((_loader(), importlib.util.MAGIC_NUMBER, compiled), 2)
    return zlib.compress(content, 9)


def _loader() -> bytes:
    return resources.files("steersman.transport").joinpath("remote_loader.py").read_bytes()


def _bundle(packed: bytes) -> Bundle:
    digest = hashlib.sha256(packed).hexdigest()
    script = _BOOTSTRAP.format(
        size=len(packed),
        digest=digest,
        ready=READY,
        wanted=WANTED,
        too_old=TOO_OLD,
        cut_short=CUT_SHORT,
        altered=ALTERED,
    )
    return Bundle(packed, f"python3 -I -S -E -c 'exec({_quoted(script)})'")


@cache
def hand_bundle(kept: Path | None = None) -> Bundle:
    """Return the bundle of `steersman.hand`, packed once for each controller process.

    With a folder to be `kept` in it is packed once and for all. Compiling takes a while, and does
    not give the same bytes each time, by which hosts know the copy that they have.
    """
    folder = resources.files("steersman.hand")
    files = [f for f in folder.iterdir() if f.name.endswith(".py") and f.name not in APART]
    sources = {file.name.removesuffix(".py"): file.read_bytes() for file in files}
    if kept is None:
        return make_bundle(sources)
    parts = [importlib.util.MAGIC_NUMBER, _loader(), *chain(*sorted(_named(sources)))]
    path = kept / hashlib.sha256(b"\0".join(parts)).hexdigest()
    packed = _recall(path)
    if packed is None:
        packed = _packed(sources)
        _keep(path, packed)
    return _bundle(packed)


def _named(sources: Mapping[str, bytes]) -> Iterator[tuple[bytes, bytes]]:
    return ((name.encode(), source) for name, source in sources.items())


def _recall(path: Path) -> bytes | None:
    try:
        digest, packed = path.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    return packed if hashlib.sha256(packed).hexdigest().encode() == digest else None


def _keep(path: Path, packed: bytes) -> None:
    # It only saves time: a folder that cannot be written is no reason to fail.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            whole = Path(scratch, "hand")
            whole.write_bytes(hashlib.sha256(packed).hexdigest().encode() + b"\n" + packed)
            whole.replace(path)


def _compile(name: str, source: bytes) -> bytes:
    code = compile(source, f"<{name}>", "exec", dont_inherit=True, optimize=2)
    return marshal.dumps(code)


def _quoted(script: str) -> str:
    """Return `script` as one line of a Python string without any single quote."""
    return json.dumps(script).replace("'", "\\u0027")
