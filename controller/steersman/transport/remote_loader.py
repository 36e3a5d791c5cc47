"""Runs on the host, first of all: imports the hand from memory (stdlib only, Python 3.9+).

The bootstrap executes this source; bundle.py reads it as text, the controller never imports it.
"""

from __future__ import annotations

import marshal
import os
import sys

# importlib.machinery and typing would cost more than all the rest of the start.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, ModuleType

PACKAGE = "steer_hand"


class BundleFinder:
    """Finds `steer_hand` and its modules in the bundle; compiled for this Python, or as source.

    `packed` is the bundle of that `digest` if it came over the link; nothing if it was here.
    """

    def __init__(
        self,
        modules: Mapping[str, tuple[bytes, bytes]],
        has_bytecode: bool,
        digest: str,
        packed: bytes,
    ) -> None:
        self.modules = modules
        self.has_bytecode = has_bytecode
        self.digest = digest
        self.packed = packed

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        if fullname not in self.modules:
            return None
        return ModuleSpec(fullname, self, is_package=fullname == PACKAGE)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - this is an importer

    def get_code(self, fullname: str) -> CodeType:
        source, bytecode = self.modules[fullname]
        if self.has_bytecode:
            code: CodeType = marshal.loads(bytecode)  # noqa: S302 - verified by the bootstrap
            return code
        return compile(source, f"<{fullname}>", "exec", dont_inherit=True, optimize=2)

    def get_source(self, fullname: str) -> str:
        return self.modules[fullname][0].decode()


def run(
    modules: Mapping[str, tuple[bytes, bytes]],
    magic: bytes,
    settings: bytes,
    ready: bytes,
    digest: str,
    packed: bytes,
) -> None:
    """Start the hand with `settings`, a JSON object."""
    finder = BundleFinder(modules, magic == MAGIC_NUMBER, digest, packed)
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    main = __import__(PACKAGE + ".main", fromlist=["main"]).main
    # The controller skips whatever a login script printed before this.
    os.write(1, ready)
    main(0, 1, settings.decode())
