"""The hand's side of the wire, D-Bus included."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.hand import dbus
from steersman.hand.execs import parse_env
from steersman.hand.wire import MAX_HEADER, Wire

HAND = Path(dbus.__file__).parent


@given(body=st.binary(max_size=3000), text=st.text())
def test_frames_survive_any_content(body: bytes, text: str) -> None:
    read, write = os.pipe()
    sender, receiver = Wire(-1, write), Wire(read, -1)
    sent = threading.Thread(target=sender.send, args=({"id": 1, "text": text}, body))
    sent.start()
    assert receiver.receive() == ({"id": 1, "text": text}, body)
    sent.join()
    os.close(write)
    assert receiver.receive() is None
    os.close(read)


def test_a_frame_over_the_limit_is_refused() -> None:
    read, write = os.pipe()
    os.write(write, struct.pack(">II", MAX_HEADER + 1, 0))
    with pytest.raises(ValueError, match="over the limit"):
        Wire(read, -1).receive()
    os.close(read)
    os.close(write)


def test_silence_ends_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman.hand.wire.SILENCE", 0.01)
    read, write = os.pipe()
    assert Wire(read, -1).receive() is None
    os.close(read)
    os.close(write)


class Hand:
    """A real hand in a process of its own, talked to over pipes."""

    def __init__(self, folder: Path) -> None:
        settings = {
            "root": str(folder / "srv"),
            "run": str(folder / "run"),
            "units": str(folder / "units"),
            "sites": "",
            "tmpfiles": "",
            "supervisor": "systemd",
            "proxy": "none",
            "scope": "user",
        }
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); from hand.main import main;"
            "main(0, 1, sys.argv[2])"
        )
        argv = [sys.executable, "-I", "-S", "-c", code, str(HAND.parent), json.dumps(settings)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.wire = Wire(self.process.stdout.fileno(), self.process.stdin.fileno())

    def ask(self, number: int, op: str, body: bytes = b"", **args: Any) -> dict[str, Any]:
        self.wire.send({"id": number, "op": op, **args}, body)
        frame = self.wire.receive()
        assert frame is not None
        return frame[0]


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    started = Hand(tmp_path)
    yield started
    started.process.kill()
    started.process.wait()
    for pipe in (started.process.stdin, started.process.stdout):
        if pipe is not None:
            pipe.close()


def test_a_hand_answers_and_ends_with_its_input(hand: Hand) -> None:
    assert hand.ask(1, "ping") == {"id": 1, "ok": True}
    assert hand.ask(2, "hello")["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert hand.process.stdin is not None
    hand.process.stdin.close()
    assert hand.process.wait(60) == -9  # it takes its own process group along


def test_changes_need_an_epoch_that_is_not_old(hand: Hand, tmp_path: Path) -> None:
    path = str(tmp_path / "srv" / "file")
    args: dict[str, Any] = {"path": path, "mode": 0o644, "owner": "", "data": "aGk="}
    assert hand.ask(1, "write_file", epoch=7, **args)["ok"] is True
    assert Path(path).read_text() == "hi"
    assert (tmp_path / "srv" / "epoch").read_text() == "7\n"
    refused = hand.ask(2, "write_file", epoch=6, **args)
    assert (refused["ok"], refused["error"]["kind"]) == (False, "stale")


def test_a_release_command_is_a_change_and_fenced(hand: Hand, tmp_path: Path) -> None:
    folder = tmp_path / "srv/apps/shop/releases/1-abc"
    (folder / "src").mkdir(parents=True)
    asked: dict[str, Any] = {
        "app": "shop",
        "release": "1-abc",
        "argv": ["touch", str(tmp_path / "ran")],
    }
    asked |= {"user": "", "envs": [], "sandbox": [], "timeout": 10, "idempotent": False}
    assert hand.ask(1, "remove_file", epoch=7, path=str(tmp_path / "srv/file"))["ok"] is True
    refused = hand.ask(2, "release_phase", epoch=6, **asked)
    assert (refused["ok"], refused["error"]["kind"]) == (False, "stale")
    assert not (tmp_path / "ran").exists() and not (folder / "phase.json").exists()


def test_nonsense_is_answered_and_survived(hand: Hand) -> None:
    for number, op in enumerate(["no_such_step", "_allowed", "write_file", "exec"], 1):
        answer = hand.ask(number, op, epoch=1)
        assert answer["ok"] is False
        assert answer["error"]["message"]
    assert hand.ask(9, "ping")["ok"] is True


def test_env_files_read_back_as_written() -> None:
    from steersman.drivers.unitfile import env_file

    env = {"A": 'say "hi" $HOME `x` \\ %i', "B": "", "C": "ü=ü # not a comment"}
    assert parse_env(env_file(env.items()).decode()) == env


def message(values: bytes, signature: str, kind: int = 2, serial: int = 1) -> bytes:
    fields = struct.pack("<BBsBI", 5, 1, b"u", 0, serial)
    fields += struct.pack("<BBsB", 8, 1, b"g", 0)
    fields += bytes((len(signature),)) + signature.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(values), 99, len(fields)) + fields
    return head + b"\0" * (-len(head) % 8) + values


def test_a_reply_of_units_is_read(tmp_path: Path) -> None:
    import socket

    path = str(tmp_path / "bus")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    words = ["steersman-a.service", "text", "loaded", "active", "running", "", "/unit/a"]
    row = b""
    for word in words:
        row += b"\0" * (-len(row) % 4) + struct.pack("<I", len(word)) + word.encode() + b"\0"
    row += b"\0" * (-len(row) % 4) + struct.pack("<I", 0)
    for word in ("", "/"):
        row += b"\0" * (-len(row) % 4) + struct.pack("<I", len(word)) + word.encode() + b"\0"
    body = struct.pack("<I", len(row)) + b"\0" * 4 + row

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(100)
            client.sendall(b"OK 1234\r\n")
            client.recv(4096)
            client.sendall(message(b"", "", kind=4, serial=7) + message(body, "a(ssssssouso)"))

    server = threading.Thread(target=serve)
    server.start()
    bus = dbus.Bus(path)
    assert bus.units("steersman-*") == [("steersman-a.service", "active", "running", "/unit/a")]
    server.join()
    bus.close()
    listener.close()
