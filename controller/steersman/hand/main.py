"""The loop: one frame in, one answer out, for as long as somebody is there."""

from __future__ import annotations

import json
import os
import sys
import threading

# What most runs never ask for is imported when it is: every connect pays for the rest.
from . import blobs, execs, facts, health
from .fence import Fence
from .observe import Eye
from .place import Place, place_from
from .steps import Steps
from .wire import Refused, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Tuple

    from .wire import Header

SIGKILL = 9

# Told apart by what they need: these are quick and change nothing, so they run in the loop.
QUICK = {"ping", "hello", "observe", "missing"}
STREAMS = {"logs", "exec", "release_phase", "watch", "listen"}
WRITES_NOTHING = {"check", "details", "tail", "connections", "traffic", "timers", "records"}
WRITES_NOTHING.add("source")
# These wait, and end when their caller no longer does.
LONG = {"pass_gate", "soak", "drain"}


def main(stdin: int, stdout: int, settings: str) -> None:
    """Serve requests until end of file or silence, then take every child along."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    os.umask(0o022)
    hand = Hand(Wire(stdin, stdout), json.loads(settings))
    try:
        hand.serve()
    finally:
        hand.stop_all()
        sys.stderr.flush()
        # Steps are crash-safe and threads may be deep in one: leave nothing half alive.
        os.killpg(0, SIGKILL)


class Hand:
    """One controller's hands on one host."""

    def __init__(self, wire: Wire, settings: Dict[str, Any]) -> None:
        self._wire = wire
        self._place: Place = place_from(settings)
        self._holder = str(settings.get("holder") or "steer")
        self._fence = Fence(self._place)
        self._fencing = threading.Lock()
        self._supervisor = make_supervisor(self._place)
        self._proxy = make_proxy(self._place)
        self._eye = Eye(self._place, self._supervisor, self._proxy)
        self._claims = blobs.Claims()
        self._steps = Steps(self._place, self._supervisor, self._proxy, self._claims)
        self._stops: Dict[int, threading.Event] = {}
        self._credits: Dict[int, threading.Semaphore] = {}
        self._sessions: Dict[int, execs.Session] = {}

    def serve(self) -> None:
        while True:
            frame = self._wire.receive()
            if frame is None:
                return
            request, body = frame
            op = request["op"]
            if op == "cancel":
                self._cancel(int(request["target"]))
            elif op == "credit":
                self._credit(int(request["target"]), int(request["n"]))
            elif op == "tell":
                self._tell(request, body)
            elif op in QUICK or op == "put":
                self._answer(request, body)
            else:
                self._stops[request["id"]] = threading.Event()
                if op in STREAMS:
                    credit = int(request.get("credit") or 64)
                    self._credits[request["id"]] = threading.Semaphore(credit)
                worker = threading.Thread(target=self._answer, args=(request, body), daemon=True)
                worker.start()

    def stop_all(self) -> None:
        for stop in list(self._stops.values()):
            stop.set()
        execs.end_all()

    def _cancel(self, target: int) -> None:
        stop = self._stops.get(target)
        if stop is not None:
            stop.set()
            self._credit(target, 1)

    def _tell(self, request: Header, body: bytes) -> None:
        """Pass on what the controller says to a command; it may have ended meanwhile."""
        session = self._sessions.get(int(request["target"]))
        if session is not None:
            session.take(request, body)

    def _credit(self, target: int, count: int) -> None:
        """Let a stream run `count` answers further ahead of its reader."""
        credit = self._credits.get(target)
        for _ in range(min(count, 1024) if credit is not None else 0):
            credit.release()  # type: ignore[union-attr]

    def _send_part(self, number: int, part: Header, body: bytes = b"") -> None:
        if not self._stops[number].is_set():
            self._credits[number].acquire()
        self._wire.send({"id": number, "ok": True, "more": True, **part}, body)

    def _answer(self, request: Header, body: bytes) -> None:
        number = request["id"]
        try:
            if request["op"] in STREAMS:
                for part, raw in self._stream(request):
                    self._send_part(number, part, raw)
                self._wire.send({"id": number, "ok": True})
            else:
                self._wire.send({"id": number, "ok": True, **self._do(request, body)})
        except Refused as refused:
            self._refuse(number, refused.kind, str(refused), refused.detail)
        except OSError as error:
            kind = "disk-full" if error.errno == 28 else "os"
            where = " (%s)" % error.filename if error.filename else ""
            self._refuse(number, kind, "%s%s" % (error.strerror or error, where), {})
        except Exception as error:
            import traceback

            at = traceback.extract_tb(error.__traceback__)[-1]
            where = "%s:%s" % (os.path.basename(at.filename), at.lineno)
            self._refuse(number, "fault", "%s: %s at %s" % (type(error).__name__, error, where), {})
        finally:
            self._stops.pop(number, None)
            self._credits.pop(number, None)
            self._sessions.pop(number, None)

    def _refuse(self, number: int, kind: str, message: str, detail: Dict[str, Any]) -> None:
        error = {"kind": kind, "message": message, **detail}
        self._wire.send({"id": number, "ok": False, "error": error})

    def _do(self, request: Header, body: bytes) -> Dict[str, Any]:
        args = {k: v for k, v in request.items() if k not in ("id", "op", "epoch")}
        op = request["op"]
        if op == "ping":
            return {}
        if op == "hello":
            return facts.hello(self._place)
        if op == "observe":
            return self._eye.look(**args)
        if op == "missing":
            self._claims.claim(args["digests"])
            return {"missing": blobs.missing(self._place, **args), "disk": facts.room(self._place)}
        if op in WRITES_NOTHING:
            return self._read(op, args)
        if op == "claim":
            with self._fencing:
                return {"epoch": self._fence.claim(holder=self._holder, **args)}
        if op == "let_go":
            with self._fencing:
                self._fence.let_go()
            return {}
        self._pass_fence(request)
        if op == "put":
            return blobs.put(self._place, body=body, **args)
        if op == "put_all":
            return blobs.put_all(self._place, body=body, **args)
        if op in LONG:
            args["stop"] = self._stops[request["id"]]
        return self._steps.find(op)(**args)

    def _pass_fence(self, request: Header) -> None:
        with self._fencing:
            self._fence.check(int(request.get("epoch") or 0), self._holder)

    def _read(self, op: str, args: Dict[str, Any]) -> Dict[str, Any]:
        if op == "check":
            return facts.check(self._place)
        if op == "details":
            return {"units": self._supervisor.details(**args)}
        if op == "connections":
            return {"open": health.open_at(**args)}
        if op == "traffic":
            from . import traffic

            return traffic.measured(**args)
        if op == "records":
            from . import builds

            return {"releases": builds.records(self._place, **args)}
        if op == "source":
            from . import source

            return {"places": source.around(self._place, **args)}
        if op == "timers":
            return {"timers": self._supervisor.timers(**args)}
        return {"lines": self._supervisor.tail(**args)}

    def _stream(self, request: Header) -> Iterator[Tuple[Header, bytes]]:
        stop = self._stops[request["id"]]
        if request["op"] == "watch":
            for change in self._eye.changes(stop):
                yield change, b""
            return
        if request["op"] == "listen":
            from . import listen

            yield from listen.heard(self._place, self._supervisor, request["sources"], stop)
            return
        if request["op"] == "logs":
            names = ("pattern", "since", "lines", "follow")
            args = {name: request[name] for name in names}
            args.update(
                {name: request[name] for name in ("invocations", "after") if name in request}
            )
            for entry in self._supervisor.follow(stop=stop, **args):
                yield entry, b""
            return
        if request["op"] == "release_phase":
            from . import phase

            self._pass_fence(request)
            for part in phase.attend(self._place, self._supervisor, stop, request):
                yield part, b""
            return
        session = execs.Session(self._place, self._supervisor, request)
        self._sessions[request["id"]] = session
        yield {"began": True}, b""
        yield from session.attend(stop)


def make_supervisor(place: Place) -> Any:
    if place.supervisor == "systemd":
        from .systemd import Systemd

        return Systemd(place)
    from .supervisor import Supervisor

    return Supervisor(place)


def make_proxy(place: Place) -> Any:
    if place.proxy == "nginx":
        from .nginx import Nginx

        return Nginx(place)
    if place.proxy == "caddy":
        from .caddy import Caddy

        return Caddy(place)
    from .noproxy import NoProxy

    return NoProxy()
