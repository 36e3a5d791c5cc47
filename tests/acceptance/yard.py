"""Groups of hosts that faults are tried on side by side, and what came of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

from acceptance.buoy import Buoy
from acceptance.steer import Repo, scrub
from acceptance.zygote import QuickSteer, Zygote
from lab.cutter import Cutter
from lab.host import Host
from lab.lab import Lab

T = TypeVar("T")


@dataclass
class Yard:
    """`groups` of a lab's hosts. A fault that breaks a promise is noted, and the next one tried."""

    lab: Lab
    groups: list[list[Host]]
    folder: Path
    cache: Path
    broken: list[str] = field(default_factory=list)
    _free: SimpleQueue[Buoy] = field(default_factory=SimpleQueue)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Yard:
        """Deploy an app to each group."""
        with ThreadPoolExecutor(len(self.groups)) as pool:
            for buoy in pool.map(self._launch, self.groups):
                self._free.put(buoy)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def _launch(self, hosts: list[Host]) -> Buoy:
        folder = self.folder / hosts[0].name
        folder.mkdir()
        steer = QuickSteer(folder, self.cache, self.lab)
        steer.zygote = self._open.enter_context(Zygote())
        made = Buoy(steer, hosts, Repo(folder / "repo", {}))
        made.launch()
        return made

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """Do the work for all items, as many at once as there are groups; fail for what broke."""
        self.broken.clear()
        with ThreadPoolExecutor(len(self.groups)) as pool:
            list(pool.map(work, items))
        assert not self.broken, "\n\n".join(self.broken)

    @contextmanager
    def buoy(self, strategy: str) -> Iterator[Buoy]:
        """Take an app that nothing else uses meanwhile; from here on it is of that strategy."""
        taken = self._free.get()
        taken.strategy = strategy
        taken.reports.clear()
        try:
            yield taken
        finally:
            self._free.put(taken)

    @contextmanager
    def trying(self, buoy: Buoy, where: str) -> Iterator[None]:
        """Note a promise that was broken, and begin anew."""
        try:
            with buoy.under_load(where):
                yield
        except AssertionError as error:
            self.broken.append(f"{buoy.strategy}, {where}: {error}")
            for host in buoy.hosts:
                scrub(host)
            buoy.launch()


@contextmanager
def behind_cutters(buoy: Buoy) -> Iterator[list[Cutter]]:
    """Reach each host over a relay that can cut."""
    straight = buoy.reached
    with ExitStack() as stack:
        made = [stack.enter_context(Cutter(host.address)) for host in buoy.hosts]
        documents = buoy.steer.hosts(*buoy.hosts)
        for document, cutter in zip(documents, made, strict=True):
            document["spec"] |= {"address": "127.0.0.1", "port": cutter.port}
        buoy.reached = documents
        try:
            yield made
        finally:
            buoy.reached = straight
            buoy.apply()


def places(dice: random.Random, sizes: Sequence[int], heads: Sequence[int]) -> list[int]:
    """Choose a byte for each link: half of them behind what every connect carries."""
    behind = dice.random() < 0.5
    return [
        dice.randrange(min(head, size - 1) if behind else 1, size)
        for size, head in zip(sizes, heads, strict=True)
    ]
