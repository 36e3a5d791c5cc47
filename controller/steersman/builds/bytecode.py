"""Modules compiled here, so that no host has to: once, for every host with the same Python."""

import platform as machine
import sys
from collections.abc import Iterable
from importlib.util import MAGIC_NUMBER
from pathlib import Path, PurePosixPath

import orjson

from steersman.builds.children import run
from steersman.builds.platforms import Platform

MAGIC = MAGIC_NUMBER.hex()
"""What bytecode of this Python begins with; another one ignores it."""
LONGEST = 300.0

# Apart from us: a source may bring the compiler down. A pyc that is never compared with its source
# (PEP 552) stays good whatever times the files have.
_COMPILE = """\
import json, py_compile, sys, warnings
warnings.simplefilter("ignore")
for source, target in json.load(sys.stdin):
    try:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        # Python puts the real path in its place as it imports; this one is the same each time.
        py_compile.compile(source, target, "module", doraise=True, invalidation_mode=mode)
    except Exception:
        pass
"""


def compiles_for(platform: Platform) -> bool:
    """Whether bytecode of this very Python is what the host's would make."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    return machine.python_implementation() == "CPython" and platform.python == own


def cached_path(path: str) -> str:
    """Return where Python looks for the bytecode of the module at `path`."""
    module = PurePosixPath(path)
    return str(module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc")


async def compile_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Compile each source to its target; what is no Python of this version gets none."""
    work = orjson.dumps([[str(source), str(target)] for source, target in pairs])
    await run([sys.executable, "-I", "-S", "-c", _COMPILE], env={}, stdin=work)
