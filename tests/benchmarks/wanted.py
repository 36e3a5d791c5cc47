"""The state that every tool is asked for: read from a host that steersman deployed to."""

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.host import Host
from lab.seen import nginx_reloads

_UNITS = "/etc/systemd/system"


@dataclass(frozen=True)
class User:
    name: str
    home: str
    shell: str


@dataclass(frozen=True)
class Folder:
    path: str
    mode: str
    owner: str
    group: str


@dataclass(frozen=True)
class File:
    path: str
    mode: str
    owner: str
    group: str
    content: bytes


@dataclass(frozen=True)
class Link:
    path: str
    target: str


@dataclass(frozen=True)
class Wanted:
    """What every tool checks.

    steersman checks some more (its builds, the links in /run, what is too much), which the others
    are spared: they might do without.
    """

    users: tuple[User, ...]
    folders: tuple[Folder, ...]
    files: tuple[File, ...]
    links: tuple[Link, ...]
    units: tuple[str, ...]

    def __len__(self) -> int:
        parts = (self.users, self.folders, self.files, self.links, self.units)
        return sum(map(len, parts))

    def write(self, folder: Path) -> Path:
        """Write wanted.json, and beside it what the files hold, for playbook and deploy."""
        sources = folder / "files"
        sources.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, file in enumerate(self.files):
            source = sources / f"{number}-{Path(file.path).name}"
            source.write_bytes(file.content)
            source.chmod(0o600)
            row = asdict(file) | {"source": str(source)}
            del row["content"]
            rows.append(row)
        parts = {
            "users": [asdict(each) for each in self.users],
            "folders": [asdict(each) for each in self.folders],
            "files": rows,
            "links": [asdict(each) for each in self.links],
            "units": list(self.units),
        }
        path = folder / "wanted.json"
        path.write_text(json.dumps(parts, indent=1))
        return path


class Reader:
    """Reads one running host from outside, by its files."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._root = host.root
        self._users = self._names("passwd")
        self._groups = self._names("group")

    def _names(self, table: str) -> Mapping[int, str]:
        rows = (self._root / "etc" / table).read_text().splitlines()
        return {int(row.split(":")[2]): row.split(":")[0] for row in rows}

    def wanted(self, apps: Sequence[str]) -> Wanted:
        """Return the users, folders, files, links and running units of `apps`."""
        parts = [self._app(app) for app in apps]
        return Wanted(
            users=tuple(each for part in parts for each in part.users),
            folders=tuple(each for part in parts for each in part.folders),
            files=tuple(each for part in parts for each in part.files),
            links=tuple(each for part in parts for each in part.links),
            units=tuple(each for part in parts for each in part.units),
        )

    def _app(self, app: str) -> Wanted:
        home = f"/srv/steersman/apps/{app}"
        release = self._readlink(f"{home}/current")
        boot = f"{_UNITS}/multi-user.target.wants/steersman-{app}.target"
        site = f"/etc/nginx/conf.d/steersman-{app}.conf"
        folders = (f"{home}/shared", f"{home}/{release}")
        files = [*self._list(f"{home}/env"), *self._list(_UNITS, f"steersman-{app}."), site]
        links = (f"{home}/current", boot)
        return Wanted(
            users=(self._user(f"app-{app}"),),
            folders=tuple(map(self._folder, folders)),
            files=tuple(map(self._file, files)),
            links=tuple(Link(path, self._readlink(path)) for path in links),
            units=self._running(app),
        )

    def _user(self, name: str) -> User:
        rows = (self._root / "etc/passwd").read_text().splitlines()
        (row,) = (row.split(":") for row in rows if row.startswith(f"{name}:"))
        return User(name, row[5], row[6])

    def _folder(self, path: str) -> Folder:
        return Folder(path, *self._permissions(path))

    def _file(self, path: str) -> File:
        return File(path, *self._permissions(path), self._on_host(path).read_bytes())

    def _permissions(self, path: str) -> tuple[str, str, str]:
        seen = self._on_host(path).lstat()
        mode = f"{stat.S_IMODE(seen.st_mode):04o}"
        return mode, self._users[seen.st_uid], self._groups[seen.st_gid]

    def _readlink(self, path: str) -> str:
        return str(self._on_host(path).readlink())

    def _list(self, folder: str, prefix: str = "") -> list[str]:
        """Return the regular files in `folder` whose names start with `prefix`."""
        entries = sorted(self._on_host(folder).glob(f"{prefix}*"))
        return [f"{folder}/{each.name}" for each in entries if stat.S_ISREG(each.lstat().st_mode)]

    def _running(self, app: str) -> tuple[str, ...]:
        ask = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active"]
        listing = self._host.run([*ask, f"steersman-{app}.*"])
        return tuple(sorted(line.split()[0] for line in listing.splitlines()))

    def _on_host(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def traces(self, wanted: Wanted) -> dict[str, object]:
        """Return what differs later if anything was written or started again, even to the same."""
        paths = [folder.path for folder in wanted.folders]
        paths += [file.path for file in wanted.files]
        paths += [link.path for link in wanted.links]
        found: dict[str, object] = {}
        for path in paths:
            seen = self._on_host(path).lstat()
            found[path] = seen.st_ino, seen.st_ctime_ns
        found["/etc/passwd"] = (self._root / "etc/passwd").read_bytes()
        shown = self._host.run(
            ["systemctl", "show", "-p", "Id,InvocationID,ActiveState", *wanted.units]
        )
        for unit, block in zip(wanted.units, shown.strip().split("\n\n"), strict=True):
            found[unit] = block
        found["nginx reloads"] = nginx_reloads(self._host)
        return found
