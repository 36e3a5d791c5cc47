"""Wheels for the host's platform: reused, downloaded, or built from source distributions."""

import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from zipfile import is_zipfile

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from steersman.builds.blobs import BlobStore
from steersman.builds.cache import Cache
from steersman.builds.cells import Cells
from steersman.builds.children import Progress
from steersman.builds.errors import DependencyError
from steersman.builds.model import Wheel, digest_of
from steersman.builds.platforms import Platform
from steersman.builds.pythons import find_python
from steersman.builds.requirements import Direct, Lock, Pin, has_local
from steersman.builds.text import clean
from steersman.builds.tools import Tools, dependency_error

_ABSENT = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)==")
_COMMIT = re.compile(r"@[0-9a-f]{40}\b")

_SHOWN = 8

Wanted = Pin | Direct


class WheelHouse:
    """Collects the wheels of a lock for one platform, from one choice of indexes."""

    def __init__(
        self,
        cache: Cache,
        cells: Cells,
        blobs: BlobStore,
        tools: Tools,
        platform: Platform,
        index: str | None,
    ) -> None:
        self._cache = cache
        self._cells = cells
        self._blobs = blobs
        self._tools = tools
        self._platform = platform
        self._index = index

    async def collect(self, lock: Lock, folder: Path, progress: Progress) -> tuple[Wheel, ...]:
        """Return the wheels of everything in `lock`; `folder` is what local requirements name."""
        found: dict[Wanted, Wheel] = {}
        everything: list[Wanted] = [*lock.pins, *lock.directs]
        for wanted in everything:
            known = self._known(wanted, lock.origins)
            if known is not None:
                found[wanted] = known
        missing = [pin for pin in lock.pins if pin not in found]
        missing_directs = [direct for direct in lock.directs if direct not in found]
        ready: list[Wanted] = [*missing, *(d for d in missing_directs if d.is_wheel)]
        # pip asks for hashes of all or of none.
        for hashed in (True, False):
            part = [wanted for wanted in ready if bool(wanted.hashes) is hashed]
            found |= await self._obtain(part, lock.origins, folder, progress)
        for direct in missing_directs:
            if not direct.is_wheel:
                found |= await self._build(direct, lock.origins, folder, progress)
        return tuple(sorted(set(found.values()), key=lambda wheel: wheel.filename))

    async def build_project(self, folder: Path, progress: Progress) -> Wheel:
        """Return the wheel of the project in `folder` itself."""
        python = await self._python()
        with self._cache.scratch() as out:
            words = ["build", "--wheel", "--python", python, "--out-dir", str(out), str(folder)]
            async with self._cells.cell(folder, out) as cell:
                done = await self._tools.uv_inside(
                    cell, words, self._index, folder, progress, python
                )
            if done.code != 0:
                raise dependency_error("the project's own wheel", done)
            return (await self._keep(out, built=True))[0]

    async def _obtain(
        self, wanted: Sequence[Wanted], origins: Sequence[str], folder: Path, progress: Progress
    ) -> dict[Wanted, Wheel]:
        """Download what has wheels in one run of pip; build the rest."""

        def quiet(line: str) -> None:
            # That there is no wheel is no error yet.
            if not line.startswith("ERROR"):
                progress(line)

        rest, source_only = list(wanted), list[Wanted]()
        found: dict[Wanted, Wheel] = {}
        while rest:
            with self._cache.scratch() as out:
                progress(f"downloading {_count(rest)}")
                options = ["--only-binary=:all:", *self._platform.pip_arguments, "--dest", str(out)]
                words = ["download", *options, *self._listed(rest, origins, out, folder)]
                done = await self._tools.pip(words, self._index, folder, quiet)
                if done.code == 0:
                    found = self._named(rest, await self._keep(out, built=False), origins)
                    break
                absent = {canonicalize_name(n) for n in _ABSENT.findall("\n".join(done.tail))}
                gone = [w for w in rest if isinstance(w, Pin) and w.name in absent]
                if not gone:
                    raise dependency_error("dependencies", done)
                source_only += gone
                rest = [w for w in rest if w not in gone]
        for pin in source_only:
            found |= await self._build(pin, origins, folder, progress)
        return found

    async def _build(
        self, wanted: Wanted, origins: Sequence[str], folder: Path, progress: Progress
    ) -> dict[Wanted, Wheel]:
        """Build one package by itself: no other's code gets at a wheel that is remembered."""
        python = await self._python()
        progress(f"building {_count([wanted])} from source")
        with self._cache.scratch() as out:
            only = ["--no-binary", wanted.name] if isinstance(wanted, Pin) else []
            listed = self._listed([wanted], origins, out, folder)
            words = ["--python", python, "wheel", *only, "--wheel-dir", str(out), *listed]
            async with self._cells.cell(folder, out) as cell:
                done = await self._tools.pip_inside(
                    cell, words, self._index, folder, progress, python
                )
            if done.code != 0:
                what = clean(_text(wanted, folder))
                raise dependency_error(f"{what}, built from source", done)
            return self._named([wanted], await self._keep(out, built=True), origins)

    async def _python(self) -> str:
        # Any Python builds what has no machine code, and a wheel that does not fit is refused.
        env = self._tools.env(self._index)
        return await find_python(self._platform, self._tools.uv, env) or sys.executable

    def _listed(
        self, wanted: Iterable[Wanted], origins: Sequence[str], out: Path, folder: Path
    ) -> list[str]:
        """Write the requirements file of one run of pip and return the words that name it."""
        lines = [] if self._index is not None else list(origins)
        for one in wanted:
            hashes = [f"--hash={value}" for value in one.hashes]
            lines.append(" ".join([_text(one, folder), *hashes]))
        file = out / "wanted.txt"
        file.write_text("".join(f"{line}\n" for line in lines))
        return ["--quiet", "--no-deps", "--requirement", str(file)]

    async def _keep(self, out: Path, *, built: bool) -> list[Wheel]:
        wheels: list[Wheel] = []
        for file in sorted(out.glob("*.whl")):
            self._check(file, built)
            blob = await asyncio.to_thread(self._blobs.add_file, file)
            wheels.append(Wheel(file.name, blob.size, blob.sha256))
        return wheels

    def _check(self, file: Path, built: bool) -> None:
        try:
            tags = parse_wheel_filename(file.name)[3]
        except InvalidWheelFilename as error:
            raise DependencyError(
                file.name, "it is no wheel's name", "report it upstream"
            ) from error
        if file.is_symlink() or not file.is_file():
            raise DependencyError(file.name, "it is no file", "report it to who builds it")
        native = built and all(tag.platform != "any" for tag in tags)
        fits = self._platform.accepts(file.name) and is_zipfile(file)
        if not fits or (native and not self._platform.runs_native(Platform.here())):
            raise DependencyError(
                file.name,
                f"it has no wheel for the host, and one built on {Platform.here().key}"
                f" does not run on {self._platform.key}",
                "pin a version that has one, or build on a machine like the host",
            )

    def _named(
        self, wanted: Sequence[Wanted], wheels: Sequence[Wheel], origins: Sequence[str]
    ) -> dict[Wanted, Wheel]:
        """Match requirements with wheels by name, and remember the match."""
        if len(wanted) == len(wheels) == 1:
            self._remember(wanted[0], wheels[0], origins)
            return {wanted[0]: wheels[0]}
        by_name = {parse_wheel_filename(wheel.filename)[0]: wheel for wheel in wheels}
        found: dict[Wanted, Wheel] = {}
        for one in wanted:
            name = one.name if isinstance(one, Pin) else one.requirement.partition(" @ ")[0]
            wheel = by_name.get(canonicalize_name(name))
            if wheel is None:
                way_out = "check what the index serves under that name"
                raise DependencyError(clean(name), "pip answered without its wheel", way_out)
            self._remember(one, wheel, origins)
            found[one] = wheel
        return found

    def _known(self, wanted: Wanted, origins: Sequence[str]) -> Wheel | None:
        for key in self._keys(wanted, origins) if _is_fixed(wanted) else []:
            record = self._cache.record("wheels", key)
            if record is not None and self._blobs.has(record["sha256"], record["size"]):
                return Wheel(**record)
        return None

    def _remember(self, wanted: Wanted, wheel: Wheel, origins: Sequence[str]) -> None:
        if not _is_fixed(wanted):
            return
        anywhere, *here = self._keys(wanted, origins)
        facts = {"filename": wheel.filename, "size": wheel.size, "sha256": wheel.sha256}
        for key in [anywhere] if f"sha256:{wheel.sha256}" in wanted.hashes else here:
            self._cache.keep("wheels", key, facts)

    def _keys(self, wanted: Wanted, origins: Sequence[str]) -> list[str]:
        """Return the names that a wheel is remembered by: wherever from, and from just there.

        Only a wheel that is itself what a hash says is the same from everywhere. One that was
        built is also what its build requirements made of it, and these come from the origins.
        """
        name = [wanted.name, wanted.version] if isinstance(wanted, Pin) else [wanted.requirement]
        what = [name, wanted.hashes, self._platform.key]
        if self._index is not None:
            return [digest_of(what), digest_of([*what, "index", self._index])]
        # A folder of the source is another one for each source.
        here = [] if has_local(origins) else [digest_of([*what, "origins", *origins])]
        return [digest_of(what), *here]


def _is_fixed(wanted: Wanted) -> bool:
    """Whether the same words always mean the same wheel."""
    if isinstance(wanted, Pin) or wanted.hashes:
        return True
    return not wanted.is_local and _COMMIT.search(wanted.requirement) is not None


def _count(wanted: Sequence[Wanted]) -> str:
    names = [one.name if isinstance(one, Pin) else clean(one.requirement) for one in wanted]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _text(wanted: Wanted, folder: Path) -> str:
    if isinstance(wanted, Pin):
        return f"{wanted.name}=={wanted.version}"
    return str(folder / wanted.requirement) if wanted.is_local else wanted.requirement
