"""The streams of a one-off command: what goes in and comes out, whoever is slow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from steersman.hand.streams import Streams


@pytest.fixture
def streams() -> Iterator[Callable[..., Streams]]:
    made: list[Streams] = []

    def open_them(size: list[int] | None = None, *, has_input: bool = True) -> Streams:
        made.append(Streams(size, has_input))
        return made[-1]

    yield open_them
    for each in made:
        each.close()


def begin(streams: Streams, *argv: str) -> subprocess.Popen[bytes]:
    taken, out, errors = streams.theirs
    process = subprocess.Popen(argv, stdin=taken, stdout=out, stderr=errors, start_new_session=True)
    streams.give()
    return process


def drained(streams: Streams, within: float = 60) -> tuple[dict[int, bytes], int]:
    """Move until the command closed its outputs; return what came from each, and what it took."""
    came, taken = {1: b"", 2: b""}, 0
    deadline = time.monotonic() + within
    while not streams.is_over:
        assert time.monotonic() < deadline, came
        parts, count = streams.move(0.1)
        taken += count
        for number, chunk in parts:
            came[number] += chunk
    return came, taken


def until(terminal: Streams, said: bytes, times: int = 1) -> bytes:
    """Move until the terminal has said something so many times, and return all that came."""
    came = b""
    while came.count(said) < times:
        came += b"".join(chunk for _, chunk in terminal.move(1)[0])
    return came


def test_bytes_go_through_a_slow_program_unchanged(streams: Callable[..., Streams]) -> None:
    pipes, sent = streams(), os.urandom(1 << 20)
    process = begin(pipes, sys.executable, "-c", "import sys, time; time.sleep(0.2);"
        "sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.write('done')")  # fmt: skip
    pipes.feed(sent[: 1 << 19])
    pipes.feed(sent[1 << 19 :])
    pipes.end_input()
    assert drained(pipes) == ({1: sent, 2: b"done"}, len(sent))
    assert process.wait() == 0


def test_without_input_there_is_an_end_of_file(streams: Callable[..., Streams]) -> None:
    pipes = streams(has_input=False)
    process = begin(pipes, "cat")
    assert drained(pipes) == ({1: b"", 2: b""}, 0)
    assert process.wait() == 0


def test_what_an_ended_program_never_takes_counts_as_taken(
    streams: Callable[..., Streams],
) -> None:
    pipes = streams()
    process = begin(pipes, "true")
    process.wait()
    drained(pipes)
    pipes.feed(bytes(1 << 20))  # more than a pipe holds
    assert pipes.move(0.1) == ([], 1 << 20)


def test_a_terminal_has_a_size_an_end_of_file_and_one_output(
    streams: Callable[..., Streams],
) -> None:
    terminal = streams([33, 101])
    process = begin(terminal, "sh", "-c", "stty size; cat; stty size; echo no >&2")
    came = until(terminal, b"33 101\r\n")  # or the echo comes in the middle of it
    terminal.feed(b"typed\n")
    came += until(terminal, b"typed\r\n", 2)  # its echo, and what cat says
    terminal.resize(40, 120)
    terminal.end_input()
    came += drained(terminal)[0][1]
    assert came.startswith(b"33 101\r\n")
    assert came.endswith(b"40 120\r\nno\r\n")
    assert process.wait() == 0


def test_waiting_is_cut_short_by_input(streams: Callable[..., Streams]) -> None:
    pipes = streams()
    process = begin(pipes, "sleep", "60")
    pipes.feed(b"x")
    began = time.monotonic()
    assert pipes.move(30) == ([], 1) and time.monotonic() - began < 20
    process.send_signal(signal.SIGKILL)
    process.wait()
