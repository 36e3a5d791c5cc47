"""Which Python a source asks for, and where this machine has one."""

import re
import sys
from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from steersman.builds.children import run
from steersman.builds.errors import DependencyError, PythonMismatch
from steersman.builds.platforms import Platform
from steersman.builds.text import printable

_MINOR = re.compile(r"(?:c?python-?)?(\d+\.\d+)(?:[.\d\w]*)")


def check_python(
    wanted: str | None, version_file: str | None, project: Mapping[str, Any], platform: Platform
) -> None:
    """Refuse a source whose Python is not the host's: spec, else .python-version; and metadata."""
    name, where = _asked(wanted, version_file)
    if name is not None:
        found = _MINOR.fullmatch(name)
        if found is None or found[1] != platform.python:
            raise PythonMismatch(printable(name), where, platform.python)
    requires = project.get("requires-python")
    if isinstance(requires, str) and not _satisfies(requires, platform):
        where = "requires-python in pyproject.toml"
        raise PythonMismatch(printable(requires), where, platform.python)


async def find_python(platform: Platform, uv: str, env: Mapping[str, str]) -> str | None:
    """Return an interpreter of the host's Python minor on this machine, if it has one."""
    if platform.python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    done = await run([uv, "python", "find", "--no-project", platform.python], env=env)
    return done.stdout.decode().strip() if done.code == 0 else None


def _asked(wanted: str | None, version_file: str | None) -> tuple[str | None, str]:
    if wanted is not None:
        return wanted.strip(), "spec.build.python"
    lines = (version_file or "").splitlines()
    named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return (named[0] if named else None), ".python-version"


def _satisfies(requires: str, platform: Platform) -> bool:
    try:
        accepted = SpecifierSet(requires)
    except InvalidSpecifier as error:
        raise DependencyError(
            "pyproject.toml",
            f"requires-python {printable(requires)!r} is no version specifier",
            "write it like `>=3.11`",
        ) from error
    # Only the host's minor is known: some patch release of it must do.
    return any(accepted.contains(f"{platform.python}.{patch}") for patch in (0, 5, 99))
