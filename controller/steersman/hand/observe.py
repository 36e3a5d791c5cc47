"""Everything a plan needs to know of this host, in one answer."""

from __future__ import annotations

import json
import os
import threading
import time

from . import fence, files, jobs, running, users
from .builds import MARK
from .digest import sha256
from .place import Place
from .ports import listening
from .watch import Folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

PREFIX = "steersman-"
# Ports handed to apps that only take $PORT; below the kernel's ephemeral range.
PORTS = range(20000, 30000)
# Seconds after which a look is a real one even if no event asked for it.
RESYNC = 60.0


class Eye:
    """Looks at the host; remembers digests so that an unchanged file is not read twice."""

    def __init__(self, place: Place, supervisor: Any, proxy: Any) -> None:
        self._place = place
        self._supervisor = supervisor
        self._proxy = proxy
        self._digests = files.Digests()
        self._events: Optional[Folders] = None
        self._digest = ""
        self._looked_at = 0.0
        self._passwd: Tuple[object, Dict[str, List[object]]] = (None, {})

    def look(self, known: str = "") -> Dict[str, Any]:
        """Return {"digest", "seen"}, or {"digest", "same": True} if `known` still holds."""
        if known and known == self._digest and self._is_quiet():
            return {"digest": known, "same": True}
        if known:
            # Watching costs more than one look: it pays from the second on.
            self._begin_watching()
        seen = self._seen()
        self._looked_at = time.monotonic()
        raw = json.dumps(seen, sort_keys=True, separators=(",", ":")).encode()
        digest = sha256(raw).hexdigest()
        self._digest = digest
        if digest == known:
            return {"digest": digest, "same": True}
        return {"digest": digest, "seen": seen}

    def changes(self, stop: threading.Event) -> Iterator[Dict[str, object]]:
        """Yield a part whenever a look would see something else, until `stop`; see `changes`."""
        from . import changes

        return changes.told(self._folders, self._supervisor, stop)

    def _is_quiet(self) -> bool:
        """Return whether no event says that anything changed; every so often, look anyway."""
        if self._events is None or time.monotonic() - self._looked_at > RESYNC:
            return False
        # Both are asked, so that both forget what this look will see.
        return all([self._events.quiet(), self._supervisor.quiet()])

    def _begin_watching(self) -> None:
        try:
            if self._events is None:
                self._events = Folders()
        except OSError:
            return  # no inotify instance is left: every look is a real one
        self._events.watch(self._folders())
        self._events.quiet()
        self._supervisor.quiet()

    def _folders(self) -> List[str]:
        place = self._place
        folders = ["/etc", place.root, os.path.join(place.root, "apps"), place.run]
        folders += [f for f in (place.units, place.sites, place.tmpfiles) if f]
        folders += [os.path.join(place.units, "multi-user.target.wants"), *self._proxy.folders()]
        for app in self._names():
            folders += [place.app(app), place.run_of(app)]
            folders += [place.app(app, part) for part in ("builds", "releases", "env", "jobs")]
        return folders

    def _seen(self) -> Dict[str, Any]:
        place = self._place
        apps = {app: self._app(app) for app in self._names()}
        units = {
            name: [active, sub, running.runs(place, name, pid)]
            for name, (active, sub, pid) in self._supervisor.seen().items()
        }
        for app, found in apps.items():
            jobs.judge(place, app, found["jobs"], units)
        return {
            "epoch": fence.stored_epoch(place),
            "users": self._users(),
            "apps": apps,
            "files": self._managed(),
            "units": units,
            "names": self._proxy.foreign_names(),
            "proxy": self._supervisor.state(self._proxy.unit) if self._proxy.unit else "",
            "ports": listening(PORTS),
        }

    def _names(self) -> List[str]:
        made = files.entries(os.path.join(self._place.root, "apps"))
        return sorted({*made, *files.entries(self._place.run)})

    def _users(self) -> Dict[str, List[object]]:
        if self._place.scope == "user":
            return {}
        status = os.stat("/etc/passwd")
        signature = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._passwd[0] != signature:
            self._passwd = (signature, users.seen(self._place))
        return self._passwd[1]

    def _app(self, app: str) -> Dict[str, Any]:
        place = self._place
        env = place.app(app, "env")
        run = place.run_of(app)
        links = {name: files.read_link(os.path.join(run, name)) for name in files.entries(run)}
        builds = place.app(app, "builds")
        releases = place.app(app, "releases")
        return {
            "builds": [
                name
                for name in files.entries(builds)
                if os.path.exists(os.path.join(builds, name, MARK))
            ],
            "releases": {name: self._build_of(app, name) for name in files.entries(releases)},
            "current": files.read_link(place.app(app, "current")),
            "dirs": files.entries(place.app(app)),
            "envs": {
                name: self._digests.seen(os.path.join(env, name)) for name in files.entries(env)
            },
            "links": {name: target for name, target in links.items() if target is not None},
            "run": files.entries(run),
            "jobs": jobs.seen(place, app, self._digests),
        }

    def _build_of(self, app: str, release: str) -> str:
        """Return the digest of the build that a release's `src` leads to."""
        link = files.read_link(self._place.app(app, "releases", release, "src")) or ""
        return os.path.basename(os.path.dirname(link))

    def _managed(self) -> Dict[str, Any]:
        """Return {path: [sha256, mode, owner]} or {path: "-> target"} of files that are ours."""
        place = self._place
        found: Dict[str, Any] = {}
        wants = os.path.join(place.units, "multi-user.target.wants")
        for folder in (place.units, place.sites, place.tmpfiles, wants):
            if not folder:
                continue
            for name in files.entries(folder):
                if name.startswith(PREFIX):
                    path = os.path.join(folder, name)
                    link = files.read_link(path)
                    found[path] = self._digests.seen(path) if link is None else "-> " + link
        return found
