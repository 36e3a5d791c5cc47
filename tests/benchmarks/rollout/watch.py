"""What users of each host see while a tool works, and the bytes that went to each host.

It asks from inside each host's network namespace: through that host's nginx, and without a packet
on the cable whose bytes are counted.
"""

import ctypes
import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.void import Void
from lab.host import Host
from lab.network import NETNS

_CLONE_NEWNET = 0x40000000
# Often enough to be exact to a few percent, and seldom enough to cost no tool its cores.
_PERIOD = 0.1


class _Eye(threading.Thread):
    """Asks one host until it answers with the revision; a thread has a namespace of its own."""

    def __init__(self, host: Host, site: str, revision: str, over: threading.Event) -> None:
        super().__init__(name=f"eye of {host.name}", daemon=True)
        self._host, self._site, self._revision, self._over = host, site, revision, over
        self.served: float | None = None
        self.asked = 0
        self.unanswered = 0

    def run(self) -> None:
        enter(self._host)
        while not self._over.wait(_PERIOD):
            status, revision = ask(self._site)
            self.asked += 1
            self.unanswered += status != 200
            if status == 200 and revision == self._revision and self.served is None:
                self.served = time.monotonic()


class Watch:
    """Watches all hosts while the block runs, and a moment longer if they do not serve yet."""

    def __init__(self, hosts: Sequence[Host], site: str, revision: str) -> None:
        self._over = threading.Event()
        self._eyes = [_Eye(host, site, revision, self._over) for host in hosts]
        self._site, self._revision = site, revision

    def __enter__(self) -> "Watch":
        for eye in self._eyes:
            eye.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        deadline = time.monotonic() + 30
        while error is None and time.monotonic() < deadline and self._missing:
            time.sleep(_PERIOD)
        self._over.set()
        for eye in self._eyes:
            eye.join()
        if error is None and self._missing:
            raise Void(f"{self._site}: {', '.join(self._missing)} never served {self._revision}")

    @property
    def _missing(self) -> list[str]:
        return [eye.name for eye in self._eyes if eye.served is None]

    @property
    def served(self) -> float:
        """When the last host first answered with the revision, on the monotonic clock."""
        return max(eye.served for eye in self._eyes if eye.served is not None)

    @property
    def lost(self) -> float:
        """The share of requests that got anything but 200 meanwhile."""
        return sum(eye.unanswered for eye in self._eyes) / sum(eye.asked for eye in self._eyes)


def judge(hosts: Sequence[Host], site: str, revision: str) -> None:
    """Raise `Void` unless every host answers with the revision, and with nothing else."""
    wrong: list[str] = []

    def look(host: Host) -> None:
        enter(host)
        answers = {ask(site) for _ in range(5)}
        if answers != {(200, revision)}:
            wrong.append(f"{host.name} answers {sorted(answers)}")

    looks = [threading.Thread(target=look, args=(host,)) for host in hosts]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    if wrong:
        raise Void(f"{site} should be at {revision} everywhere: {'; '.join(wrong)}")


def enter(host: Host) -> None:
    """Move the calling thread, for the rest of its life, into the host's network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NETNS / host.namespace).open() as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"could not enter the network of {host.name}")


def ask(site: str) -> tuple[int, str]:
    """Return status and revision of `site` on the host that the thread is in; 0 is no answer."""
    link = http.client.HTTPConnection("127.0.0.1", timeout=10)
    try:
        link.request("GET", "/", headers={"Host": site})
        answer = link.getresponse()
        answer.read()
        return answer.status, answer.headers.get("X-Revision", "")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        link.close()


def sent(hosts: Sequence[Host]) -> Mapping[str, int]:
    """Return how many bytes each host's cable has carried towards it, frames and all."""
    folders = {h.name: Path("/sys/class/net") / h.network.cable(h.number) for h in hosts}
    return {n: int((f / "statistics/tx_bytes").read_text()) for n, f in folders.items()}
