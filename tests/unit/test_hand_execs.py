"""A one-off command from its start to its end, without systemd."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from steersman.hand import execs
from steersman.hand.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "apps/crew/releases/1-a/src").mkdir(parents=True)
    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy")
    return Place(root=str(tmp_path), extra={}, scope="user", **dict.fromkeys(names, ""))


def test_all_that_a_command_wrote_comes_however_slow_its_reader_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=iter(range(60, 10**9, 60)).__next__)
    monkeypatch.setattr(execs, "time", clock)
    # As much as a pipe holds: it ends at once, and more than one look is needed for its words.
    argv = [sys.executable, "-c", "import os; os.write(1, bytes(1 << 16))"]
    asked = {"id": 1, "app": "crew", "release": "1-a", "argv": argv, "envs": [], "sandbox": []}
    session = execs.Session(place, None, {**asked, "user": ""})
    session._job._child.wait()
    parts = list(session.attend(threading.Event()))
    assert sum(len(body) for _, body in parts) == 1 << 16
    assert parts[-1] == ({"exit": 0}, b"")
