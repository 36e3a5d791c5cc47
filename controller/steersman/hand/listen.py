"""All that a host says of its apps, as one stream: lines, exits, samples, and what is lacking."""

from __future__ import annotations

import json
import select
import time

from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, Dict, Generator, Iterator, List, Tuple

    from .place import Place

    Message = Dict[str, Any]

# A frame goes when it has so many messages, or so long after its first.
FULL, FLUSH = 500, 0.03
# Characters of lines after which a frame goes, whatever their number; bytes that fit into one.
LONG, FRAME = 1 << 16, 1 << 19
# How long `stop` may go unseen, and when a source that failed is tried again.
PATIENCE, AGAIN = 1.0, 10.0


def heard(
    place: "Place", supervisor: "Any", sources: "Dict[str, Dict[str, Any]]", stop: "threading.Event"
) -> "Generator[Tuple[Dict[str, Any], bytes], None, None]":
    """Yield {"count", "at"} with a JSON list of messages, for as long as `stop` is not set.

    A message is {"log": [unit, time, text, syslog priority]}, {"exit": {...}}, {"sample": [name,
    value, labels, kind], "t"} or {"lack": text}. `at` has the positions of sources by name: whoever
    asks again with `sources[name]["at"]` set to one goes on right behind that frame. Of a batch
    that does not fit into one frame only the last part has it.
    """
    ear = Ear(place, supervisor, sources)
    try:
        while not stop.is_set():
            batch = ear.wait()
            if batch:
                for part, is_last in framed(batch):
                    at = {"at": ear.positions()} if is_last else {}
                    yield {"count": len(batch), **at}, part
    finally:
        ear.close()


def framed(batch: "List[Message]", is_last: bool = True) -> "Iterator[Tuple[bytes, bool]]":
    """Yield messages as JSON lists that fit into frames, and whether each is the last one."""
    text = json.dumps(batch, ensure_ascii=False, separators=(",", ":"))
    data = text.encode("utf-8", "replace")
    if len(data) <= FRAME:
        yield data, is_last
    elif len(batch) == 1:
        lack = "a message of %d bytes was left out" % len(data)
        yield json.dumps([{"lack": lack}]).encode(), is_last
    else:
        yield from framed(batch[: len(batch) // 2], False)
        yield from framed(batch[len(batch) // 2 :], is_last)


class Ear:
    """The sources that are listened to. One that fails is said to, and opened again later."""

    def __init__(
        self, place: "Place", supervisor: "Any", asked: "Dict[str, Dict[str, Any]]"
    ) -> None:
        self._place = place
        self._supervisor = supervisor
        self._asked = {name: dict(settings) for name, settings in asked.items()}
        self._open: "Dict[str, Any]" = {}
        self._due = dict.fromkeys(asked, 0.0)

    def wait(self) -> "List[Message]":
        """Return what was said: a full batch, or what came within `FLUSH` of the first; or [].

        A turn without anything ends after `PATIENCE`.
        """
        batch: "List[Message]" = []
        end, length = time.monotonic() + PATIENCE, 0
        while len(batch) < FULL and length < LONG and time.monotonic() < end:
            was_empty = not batch
            said = self._turn(end)
            length += sum(len(each["log"][2]) for each in said if "log" in each)
            batch += said
            if batch and was_empty:
                end = min(end, time.monotonic() + FLUSH)
        return batch

    def _turn(self, end: float) -> "List[Message]":
        until = min([end, *self._due.values()])
        fds = [fd for source in self._open.values() for fd in source.fds]
        ready = select.select(fds, [], [], max(0.0, until - time.monotonic()))[0]
        now, said = time.monotonic(), []
        for name in self._asked:
            source = self._open.get(name)
            if now >= self._due[name] or (source and any(fd in ready for fd in source.fds)):
                said += self._take(name, now)
        return said

    def _take(self, name: str, now: float) -> "List[Message]":
        try:
            source = self._open.get(name)
            if source is None:
                source = self._open[name] = opened(
                    name, self._place, self._supervisor, self._asked[name]
                )
            self._due[name] = now + source.every
            return list(source.take())
        except (OSError, Refused, ValueError, KeyError) as error:
            self._close(name)
            self._due[name] = now + AGAIN
            return [{"lack": "%s: %s" % (name, error)}]

    def positions(self) -> "Dict[str, Any]":
        return {
            name: source.positions
            for name, source in self._open.items()
            if getattr(source, "positions", None)
        }

    def _close(self, name: str) -> None:
        source = self._open.pop(name, None)
        if source is not None:
            self._asked[name]["at"] = getattr(source, "positions", None)
            source.close()

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)


def opened(name: str, place: "Place", supervisor: "Any", settings: "Dict[str, Any]") -> "Any":
    """Return a source: it has `fds`, `every`, `take()` and `close()`, and may have `positions`."""
    if name == "lines" and place.supervisor == "systemd":
        from .journal import Journal

        return Journal(place, settings)
    if name == "lines":
        from .logfiles import Lines

        return Lines(place, settings)
    if name in ("processes", "host"):
        from . import measure

        if name == "host":
            return measure.Host(place, settings)
        return measure.Processes(supervisor, settings)
    if name == "statsd":
        from .statsd import Statsd

        return Statsd(place, settings)
    if name == "access":
        from .access import Access

        return Access({**settings, "positions": settings.get("at")})
    raise Refused("unknown", "this hand cannot listen to %s" % name)
