"""A host that is watched tells each time a look would see something else."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steersman.hand import changes

WITHIN = 20.0


class Units:
    """A supervisor that tells of changes through a pipe, or has to be asked."""

    def __init__(self, *, tells: bool) -> None:
        self.state = {"steersman-shop.web.g1@1.service": ["active", "running"]}
        self.was_heard = threading.Event()
        self._pipe = os.pipe() if tells else None

    def seen(self) -> dict[str, list[str]]:
        return dict(self.state)

    def signals(self) -> Any:
        return self if self._pipe is not None else None

    def fileno(self) -> int:
        assert self._pipe is not None
        return self._pipe[0]

    def close(self) -> None: ...

    def quiet(self, words: tuple[bytes, ...]) -> bool:
        os.set_blocking(self.fileno(), False)
        try:
            said = os.read(self.fileno(), 4096)
        except BlockingIOError:
            return True
        self.was_heard.set()
        return not any(word in said for word in words)

    def change(self, state: str, said: bytes = b"steersman-shop") -> None:
        self.state = {name: [state, state] for name in self.state}
        if self._pipe is not None:
            os.write(self._pipe[1], said)


class Told:
    """What a watch tells, read by a thread of its own; `stop` ends it."""

    def __init__(self, folders: list[str], units: Units) -> None:
        self.stop = threading.Event()
        self._folders = folders
        self._arrived = threading.Semaphore(0)
        self._parts: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._read, args=(units,))
        self._thread.start()

    def _read(self, units: Units) -> None:
        for part in changes.told(lambda: self._folders, units, self.stop):
            self._parts.append(part)
            self._arrived.release()

    def next(self) -> dict[str, object]:
        assert self._arrived.acquire(timeout=WITHIN), "nothing was told"
        return self._parts.pop(0)

    def end(self) -> list[dict[str, object]]:
        self.stop.set()
        self._thread.join(WITHIN)
        assert not self._thread.is_alive()
        return self._parts


@pytest.fixture(params=[True, False], ids=["telling", "asked"])
def units(request: pytest.FixtureRequest) -> Units:
    return Units(tells=request.param)


@pytest.fixture
def told(tmp_path: Path, units: Units) -> Iterator[Told]:
    made = Told([str(tmp_path), str(tmp_path / "later")], units)
    assert made.next() == {"changed": False}
    yield made
    made.end()


def test_files_and_units_are_told_of(told: Told, tmp_path: Path, units: Units) -> None:
    (tmp_path / "file").write_text("x")
    assert told.next() == {"changed": True}
    units.change("failed")
    assert told.next() == {"changed": True}
    (tmp_path / "file").unlink()
    assert told.next() == {"changed": True}


def test_a_folder_that_comes_later_is_watched_too(told: Told, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    assert told.next() == {"changed": True}
    (tmp_path / "later" / "file").write_text("x")
    assert told.next() == {"changed": True}


def test_what_others_do_is_not_told_of(tmp_path: Path) -> None:
    units = Units(tells=True)
    told = Told([str(tmp_path)], units)
    assert told.next() == {"changed": False}
    units.change("failed", b"nginx.service")
    assert units.was_heard.wait(WITHIN)
    assert told.end() == []
