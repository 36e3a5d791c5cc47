"""How processes end, as supervisord's own log says it: its API tells no signals, and only the last.

Lines are `2026-11-26 02:40:27,123 WARN exited: UNIT (exit status 3; not expected)`, or
`(terminated by SIGSEGV (core dumped); not expected)`; what was asked to stop is `stopped:`.
"""

from __future__ import annotations

import http.client
import re
import time
import xmlrpc.client

from .supervisor_rpc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

EVERY = 1.0
# Of the log's end: some hundred lines, which is more than a crash loop of all programs writes.
TAIL = 1 << 15
STAMP = len("2026-11-26 02:40:27,123")
_ENDED = re.compile(
    r"exited: (steersman-\S+\.g\d+@\d+\.service)"
    r" \((?:exit status (\d+)|terminated by (\w+)( \(core dumped\))?); (?:not )?expected\)$"
)


class Exits:
    """What ended behind `last`, the newest line that was read; None: from now on."""

    def __init__(self, socket: str, last: Optional[str]) -> None:
        self._socket = socket
        self._due = 0.0
        self._is_lacking = False
        self._counts: Dict[str, int] = {}
        self.last = last

    def told(self) -> Iterator[Dict[str, Any]]:
        """Yield {"exit": …} for each, or once why there is nothing to be known."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY
        try:
            text = call(self._socket, "readLog", -TAIL, 0)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            if not self._is_lacking:
                yield {"lack": "exits: supervisord's log cannot be read: %s" % error}
            self._is_lacking = True
            return
        self._is_lacking = False
        for line in self._new([each for each in text.splitlines() if " exited: " in each]):
            yield from self._exit(line)

    def _new(self, lines: List[str]) -> List[str]:
        """Return those behind the newest that was read, and remember the newest."""
        before, newest = self.last, lines[-1] if lines else self.last or ""
        self.last = newest
        if before is None:
            return []
        if before in lines:
            return lines[len(lines) - lines[::-1].index(before) :]
        return [line for line in lines if line[:STAMP] > before[:STAMP]]

    def _exit(self, line: str) -> Iterator[Dict[str, Any]]:
        found = _ENDED.search(line)
        if found is None:
            return
        unit, code, signal, core = found.groups()
        count = self._counts[unit] = self._counts.get(unit, 0) + 1
        how = {"code": int(code)} if code else {"signal": signal, "core": core is not None}
        yield {"exit": {"unit": unit, "t": time.time(), "count": count, **how}}
