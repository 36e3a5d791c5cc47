"""Where the files of a wheel go when it is installed (PEP 427, PyPA's entry points)."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import PurePosixPath
from zipfile import ZipFile, ZipInfo

from packaging.utils import parse_wheel_filename

from steersman.builds.errors import DependencyError

_SCRIPT = """\
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({call}())
"""
_ENTRY = re.compile(r"(?P<module>\w+(\.\w+)*)\s*:\s*(?P<call>\w+(\.\w+)*)\s*(\[.*\])?")
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_EXECUTABLE = 0o111


@dataclass(frozen=True, slots=True)
class Installed:
    """A file of a venv, its path relative to the venv.

    It is `member` of the wheel, or has `text`; a script is run by the venv's Python, which is put
    in front of it as its first line.
    """

    path: str
    mode: int = 0o644
    member: ZipInfo | None = None
    text: bytes = b""
    is_script: bool = False


def installed(filename: str, wheel: ZipFile, python: str) -> tuple[Installed, ...]:
    """Return what the wheel of this name puts into a venv of `python` (such as 3.11).

    Raises DependencyError for one that is not made as wheels are, or reaches out of the venv.
    """
    layout = _Layout(filename, wheel, f"lib/python{python}/site-packages", python)
    found = [*layout.files(), *layout.scripts()]
    found += [
        Installed(f"{layout.info}/INSTALLER", text=b"steersman\n"),
        Installed(f"{layout.info}/RECORD", text=_record(found, layout)),
    ]
    return tuple(found)


class _Layout:
    """One wheel, as its file name and its own metadata say it is laid out."""

    def __init__(self, filename: str, wheel: ZipFile, site: str, python: str) -> None:
        self.filename, self.wheel, self.site = filename, wheel, site
        self.name = str(parse_wheel_filename(filename)[0])
        tops = {name.partition("/")[0] for name in wheel.namelist()}
        infos = sorted(top for top in tops if top.endswith(".dist-info"))
        if len(infos) != 1:
            raise self.broken(f"it has {len(infos)} .dist-info folders")
        self._data = infos[0].removesuffix(".dist-info") + ".data"
        self.info = f"{site}/{infos[0]}"
        self._schemes = {
            "purelib": site,
            "platlib": site,
            "data": "",
            "headers": f"include/site/python{python}/{self.name}",
        }

    def broken(self, why: str) -> DependencyError:
        way_out = "report it to those who made it, or pin another version"
        return DependencyError(f"wheel {self.filename}", why, way_out)

    def files(self) -> Iterator[Installed]:
        for member in self.wheel.infolist():
            name = member.filename
            if member.is_dir() or self._is_ours(name):
                continue
            top, _, rest = name.partition("/")
            if top != self._data:
                yield self._plain(f"{self.site}/{name}", member)
                continue
            scheme, _, path = rest.partition("/")
            if scheme == "scripts":
                yield self._script(path, member)
            elif scheme in self._schemes:
                yield self._plain(f"{self._schemes[scheme]}/{path}".lstrip("/"), member)
            else:
                raise self.broken(f"it has data of an unknown kind, {scheme}")

    def _is_ours(self, name: str) -> bool:
        path = f"{self.site}/{name}"
        return path in {f"{self.info}/{each}" for each in ("RECORD", "INSTALLER", *_SIGNATURES)}

    def _plain(self, path: str, member: ZipInfo) -> Installed:
        is_executable = (member.external_attr >> 16) & _EXECUTABLE
        return Installed(self._inside(path), 0o755 if is_executable else 0o644, member)

    def _script(self, path: str, member: ZipInfo) -> Installed:
        target = self._inside(f"bin/{path}")
        with self.wheel.open(member) as file:
            first = file.readline(256)
            if not first.startswith(b"#!python"):
                return Installed(target, 0o755, member)
            return Installed(target, 0o755, text=file.read(), is_script=True)

    def scripts(self) -> Iterator[Installed]:
        """Yield a program for each of the wheel's entry points that is one."""
        listed = f"{self.info.rpartition('/')[2]}/entry_points.txt"
        if listed not in self.wheel.namelist():
            return
        parser = ConfigParser(delimiters=("=",), strict=False, interpolation=None)
        # Names of programs are told apart by their case.
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            with self.wheel.open(listed) as file:
                parser.read_file(TextIOWrapper(file, "utf-8"))
        except (ConfigError, UnicodeDecodeError):
            raise self.broken("its entry_points.txt cannot be read") from None
        for group in ("console_scripts", "gui_scripts"):
            for name, value in parser.items(group) if parser.has_section(group) else ():
                yield self._entry_point(name, value)

    def _entry_point(self, name: str, value: str) -> Installed:
        found = _ENTRY.fullmatch(value.strip())
        if found is None:
            raise self.broken(f"its program {name} is no module:function")
        call = found["call"]
        text = _SCRIPT.format(module=found["module"], first=call.partition(".")[0], call=call)
        return Installed(self._inside(f"bin/{name}"), 0o755, text=text.encode(), is_script=True)

    def _inside(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise self.broken(f"its file {path!r} would be installed outside the environment")
        return "/".join(parts)


def _record(files: list[Installed], layout: _Layout) -> bytes:
    """Return RECORD as installers write it: what belongs to the distribution, relative to it."""
    up = "../" * (layout.site.count("/") + 1)
    paths = [*(file.path for file in files), f"{layout.info}/INSTALLER", f"{layout.info}/RECORD"]
    own = [path.removeprefix(f"{layout.site}/") for path in paths]
    rows = [path if path != whole else up + path for path, whole in zip(own, paths, strict=True)]
    return "".join(f"{_quoted(row)},,\n" for row in sorted(rows)).encode()


def _quoted(path: str) -> str:
    return '"{}"'.format(path.replace('"', '""')) if set(path) & set(',"\n\r') else path
