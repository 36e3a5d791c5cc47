"""What a host can run: its Python, machine and libc, as wheel tags and installer arguments."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.markers import Marker, default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from steersman.builds.errors import DependencyError

# The manylinux names that are older than `manylinux_<major>_<minor>`, by glibc minor.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# The glibc minors for which uv knows a platform name.
_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_UV_MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Platform:
    """A host's Python minor ("3.11"), machine ("x86_64") and libc (("glibc", "2.36"))."""

    python: str
    machine: str
    libc: tuple[str, str]

    @classmethod
    def here(cls) -> "Platform":
        """Return the platform of this very process."""
        name, version = platform.libc_ver()
        libc = ("glibc", version) if name == "glibc" else (name or "none", version or "0")
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", os.uname().machine, libc)

    @property
    def key(self) -> str:
        return f"{self.interpreter}-{self.machine}-{self.libc[0]}{self.libc[1]}"

    @property
    def interpreter(self) -> str:
        return "cp" + self.python.replace(".", "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The platform tags, most specific first: `manylinux_2_36_x86_64`, …, `linux_x86_64`."""
        return (*self._libc_names(), f"linux_{self.machine}")

    @cached_property
    def tags(self) -> frozenset[Tag]:
        version = _numbers(self.python)
        own = cpython_tags(version, abis=[self.interpreter], platforms=self.names)
        return frozenset(own) | frozenset(
            compatible_tags(version, interpreter=self.interpreter, platforms=self.names)
        )

    def accepts(self, filename: str) -> bool:
        """Whether a wheel of this name installs on the host."""
        return not self.tags.isdisjoint(parse_wheel_filename(filename)[3])

    def runs_native(self, other: "Platform") -> bool:
        """Whether machine code compiled on `other` runs here: same kind, and no newer libc."""
        same = (self.machine, self.libc[0]) == (other.machine, other.libc[0])
        return same and _numbers(other.libc[1]) <= _numbers(self.libc[1])

    def needs(self, marker: Marker | None) -> bool:
        """Whether any patch release of the host's Python needs what stands behind `marker`."""
        # Debian 12 has 3.11.2, and redis wants async-timeout below 3.11.3: with only the minor
        # known, ship what either end of the series needs.
        if marker is None:
            return True
        return any(marker.evaluate(self._environment(patch)) for patch in (0, 99))

    @property
    def pip_arguments(self) -> tuple[str, ...]:
        names = [word for name in self.names for word in ("--platform", name)]
        return ("--implementation", "cp", "--python-version", self.python, *names)

    @property
    def uv_name(self) -> str:
        """The host as uv's --python-platform calls it."""
        if self.machine not in _UV_MACHINES:
            raise DependencyError(
                f"machine {self.machine}",
                "uv resolves for x86_64 and aarch64 only",
                "commit a uv.lock or a requirements.txt with hashes",
            )
        if self.libc[0] == "musl":
            return f"{self.machine}-unknown-linux-musl"
        minor = max((n for n in _UV_GLIBC if n <= _numbers(self.libc[1])[1]), default=17)
        return f"{self.machine}-manylinux_2_{minor}"

    def _libc_names(self) -> Iterator[str]:
        major, minor = _numbers(self.libc[1])[:2]
        if self.libc[0] == "musl":
            for n in range(minor, -1, -1):
                yield f"musllinux_{major}_{n}_{self.machine}"
        if self.libc[0] == "glibc":
            for n in range(minor, 4, -1):
                yield f"manylinux_2_{n}_{self.machine}"
                if n in _LEGACY:
                    yield f"{_LEGACY[n]}_{self.machine}"

    def _environment(self, patch: int) -> dict[str, str]:
        full = f"{self.python}.{patch}"
        return {key: str(value) for key, value in default_environment().items()} | {
            "extra": "",
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": full,
            "python_version": self.python,
            "sys_platform": "linux",
        }


def _numbers(version: str) -> tuple[int, ...]:
    parts = tuple(int(part) for part in version.split(".") if part.isdigit())
    return parts if len(parts) > 1 else (*parts, 0, 0)[:2]
