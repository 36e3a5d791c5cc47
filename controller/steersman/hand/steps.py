"""The changes a plan can ask for; each may be repeated after a crash at any point."""

from __future__ import annotations

import binascii
import errno
import os

from . import blobs, builds, facts, files, garbage, health, jobs, users
from .place import Place
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, Callable, Dict, Iterable

    Args = Dict[str, Any]
    Result = Dict[str, Any]


class Steps:
    """Each public method is one step of `planning.steps`, named alike, its fields the arguments."""

    def __init__(self, place: Place, supervisor: Any, proxy: Any, claims: blobs.Claims) -> None:
        self._place = place
        self._claims = claims
        self._supervisor = supervisor
        self._proxy = proxy

    def find(self, name: str) -> Callable[..., Result]:
        step = None if name.startswith("_") or name == "find" else getattr(self, name, None)
        if step is None:
            raise Refused("bad-request", "this hand knows no operation %r" % name)
        return step  # type: ignore[no-any-return]

    def put_begin(self, sha256: str, size: int) -> Result:
        os.makedirs(self._place.store, exist_ok=True)
        return blobs.begin(self._place, sha256, size)

    def ensure_user(self, name: str, home: str) -> Result:
        users.ensure(name, home)
        return {}

    def remove_user(self, name: str) -> Result:
        users.remove(self._place, name)
        return {}

    def ensure_dir(self, path: str, mode: int, owner: str) -> Result:
        self._allowed(path)
        files.make_dir(path, mode, self._owner(owner))
        return {}

    def write_file(self, path: str, mode: int, owner: str, data: str) -> Result:
        self._allowed(path)
        files.write_file(path, binascii.a2b_base64(data), mode, self._owner(owner))
        return {}

    def remove_file(self, path: str) -> Result:
        self._allowed(path)
        files.remove(path)
        return {}

    def write_link(self, path: str, target: str) -> Result:
        self._allowed(path)
        files.write_link(path, target)
        return {}

    def make_build(self, app: str, digest: str, manifest: str, python: str) -> Result:
        parts = builds.parts_of(self._place, manifest)
        try:
            builds.make_build(self._place, app, digest, manifest, python)
        except (OSError, Refused) as error:
            if getattr(error, "errno", 0) == errno.ENOSPC:
                self._claims.release(parts)
                garbage.sweep_venvs(self._place, app)
                garbage.sweep_blobs(self._place, self._claims.held())
                raise Refused("disk-full", "the disk is full: %s" % error)
            raise
        self._claims.release(parts)
        blobs.keep_hand(self._place)
        return {}

    def make_release(self, app: str, name: str, build: str, record: Dict[str, Any]) -> Result:
        builds.make_release(self._place, app, name, build, record)
        return {}

    def reload_units(self) -> Result:
        self._supervisor.reload()
        return {}

    def start_units(self, units: "list[str]") -> Result:
        self._supervisor.start(units)
        return {}

    def stop_units(self, units: "list[str]", within: float) -> Result:
        self._supervisor.stop(units, within)
        return {}

    def pass_gate(
        self,
        processes: "list[Args]",
        deadline: float,
        settle: float,
        patience: float,
        stop: threading.Event,
    ) -> Result:
        health.gate(health.Watch(self._supervisor, processes), deadline, settle, patience, stop)
        return {}

    def soak(
        self, processes: "list[Args]", seconds: float, failures: int, stop: threading.Event
    ) -> Result:
        health.soak(health.Watch(self._supervisor, processes), seconds, failures, stop)
        return {}

    def drain(self, sockets: "list[str]", deadline: float, stop: threading.Event) -> Result:
        return {"cut": health.drain(sockets, deadline, stop)}

    def write_site(self, path: str, data: str) -> Result:
        self._allowed(path)
        self._proxy.write_site(path, binascii.a2b_base64(data))
        return {}

    def start_proxy(self) -> Result:
        self._proxy.start()
        return {}

    def remove_site(self, path: str) -> Result:
        self._allowed(path)
        self._proxy.remove_site(path)
        return {}

    def collect(
        self,
        app: str,
        releases: "list[str]",
        builds_: "list[str]",
        envs: "list[str]",
        dropped: "Iterable[str]" = (),
    ) -> Result:
        """Remove what is named and what nothing refers to; `dropped` blobs are wanted no more."""
        self._claims.release(dropped)
        held = self._claims.held()
        garbage.collect(self._place, app, releases, builds_, envs, held)
        return {"disk": facts.room(self._place)}

    def start_job(self, unit: str, replace: bool) -> Result:
        jobs.start(unit, replace)
        return {}

    def forget_job(self, app: str, job: str, timer: str) -> Result:
        jobs.forget(self._place, app, job, timer)
        return {}

    def forget_jobs(self, app: str) -> Result:
        files.remove(self._place.app(app, jobs.FOLDER))
        return {}

    def remove_app(self, app: str) -> Result:
        """Remove every file of `app`; the last app takes the product's own folders with it."""
        place = self._place
        files.remove(place.run_of(app))
        for name in os.listdir(place.app(app)) if os.path.isdir(place.app(app)) else ():
            files.remove(place.app(app, name))
        garbage.sweep_blobs(place, self._claims.held())
        # Last: while its folder is there, whoever comes after a crash removes the app again.
        files.remove(place.app(app))
        if not files.entries(os.path.join(place.root, "apps")):
            # The fence stays: a lower epoch must be refused for as long as the host lives.
            for name in ("apps", "store"):
                files.remove(os.path.join(place.root, name))
            if not files.entries(place.run):
                files.remove(place.run)
        return {}

    def leave(self) -> Result:
        """Remove the fence and the root: the last word to a host that is given up."""
        place = self._place
        left = files.entries(os.path.join(place.root, "apps"))
        if left:
            raise Refused("bad-request", "apps are still here: %s" % ", ".join(left))
        files.remove(place.root)
        if not files.entries(place.run):
            files.remove(place.run)
        return {}

    def _owner(self, owner: str) -> str:
        return "" if self._place.scope == "user" else owner

    def _allowed(self, path: str) -> None:
        """Refuse to touch anything that is not ours, whatever the controller says."""
        place = self._place
        clean = os.path.normpath(path) == path and os.path.isabs(path)
        if clean and path.startswith((place.root + os.sep, place.run + os.sep)):
            return
        folder, name = os.path.split(path)
        wants = os.path.join(place.units, "multi-user.target.wants")
        ours = folder in (place.units, place.sites, place.tmpfiles, wants)
        if not (clean and ours and name.startswith("steersman-")):
            raise Refused("bad-request", "%r is not a path of steersman's" % path)
