"""`steer run` on the embedded host: a real terminal here, a real SSH link, a real program there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from laws.person import STEER, Person, at_home, lasting, until_gone, until_running
from laws.terminal import Terminal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with at_home(tmp_path_factory.mktemp("person")) as made:
        yield made


@pytest.fixture
def terminal(person: Person) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def open_one(*argv: str, **size: int) -> Terminal:
        words = [*STEER, "run", "app/crew", "--", *argv]
        made.append(Terminal(words, person.env, person.folder, **size))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def test_the_window_is_as_large_there_and_grows_with_ours(
    terminal: Callable[..., Terminal],
) -> None:
    watch = "trap 'echo now; stty size' WINCH; stty size; tty; echo up; while :; do sleep 0.1; done"
    there = terminal("sh", "-c", watch, rows=33, cols=101)
    there.until(rb"33 101\r\n/dev/pts/\d+\r\nup")
    there.resize(40, 120)
    os.kill(there.process.pid, signal.SIGWINCH)  # the kernel tells only a foreground group
    there.until(rb"now\r\n40 120")
    there.type(b"\x03")
    assert there.end() == 130


def test_keys_reach_the_program_and_not_steer(terminal: Callable[..., Terminal]) -> None:
    program = (
        "import signal, sys\n"
        "for name in ('INT', 'QUIT', 'TSTP'):\n"
        "    number = getattr(signal, 'SIG' + name)\n"
        "    signal.signal(number, lambda n, _: print(signal.Signals(n).name))\n"
        "print('up')\n"
        "for line in sys.stdin:\n    print('line', line.strip())\n"
        "sys.exit(7)\n"
    )
    there = terminal("python", "-uc", program)
    there.until(rb"up\r\n")
    for key, name in ((b"\x03", rb"SIGINT"), (b"\x1c", rb"SIGQUIT"), (b"\x1a", rb"SIGTSTP")):
        there.type(key)
        there.until(name)
    there.type(b"hello\r")
    there.until(rb"line hello")
    there.type(b"\x04")
    assert there.end() == 7


def test_a_shell_has_job_control_and_the_release(terminal: Callable[..., Terminal]) -> None:
    there = terminal("bash", "--norc", "-i")
    there.until(rb"[$#] ")
    there.type(lasting(4242).encode() + b"\r")
    until_running(lasting(4242))  # until then a key is the shell's own
    there.type(b"\x1a")
    there.until(rb"Stopped")
    there.type(b"kill -KILL %1; disown -a; echo $MOOD-$STEER_RELEASE-$TERM; exit 3\r")
    there.until(rb"calm-1-xterm\r\n")
    assert there.end() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_steer_that_is_ended_restores_the_terminal_and_ends_the_program(
    terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    there = terminal("sh", "-c", f"trap '' HUP TERM; echo up; {lasting(4243)}; {lasting(4243)}")
    there.until(rb"up\r\n")
    there.process.send_signal(number)
    assert there.end() == 128 + number
    until_gone(lasting(4243))


def test_pipes_carry_bytes_unchanged_and_errors_apart(person: Person) -> None:
    sent = bytes(range(256)) * 4 * 5120  # 5 MiB, all of them, in both directions
    out, err = person.steer("run", "app/crew", "--", "cat", given=sent)
    assert out == sent
    assert err == b""
    words = 'tty; echo out; echo err >&2; echo "$MOOD" "$0"; exit 7'
    out, err = person.steer(
        "run", "app/crew", "-p", "second", "--", "sh", "-c", words, "$HOME %n", expect=7
    )
    assert (out, err) == (b"not a tty\nout\nwild $HOME %n\n", b"err\n")


def test_input_that_nobody_reads_does_not_hold_steer_up(person: Person) -> None:
    sent = bytes(4 << 20)
    assert person.steer("run", "app/crew", "--", "head", "-c", "3", given=sent) == (sent[:3], b"")
    assert person.steer("run", "app/crew", "--", "true", given=sent) == (b"", b"")
    assert person.steer("run", "app/crew", "--no-stdin", "--", "cat", given=b"x") == (b"", b"")


def test_input_comes_as_it_is_written(person: Person) -> None:
    pipe = subprocess.PIPE
    process = person.start("run", "app/crew", "--", "cat", stdin=pipe, stdout=pipe)
    assert process.stdin is not None and process.stdout is not None
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


def test_what_a_program_leaves_behind_ends_with_it(person: Person) -> None:
    began = time.monotonic()
    out, _ = person.steer(
        "run", "app/crew", "--", "sh", "-c", f"{lasting(4244)} & echo done; exit 5", expect=5
    )
    assert out == b"done\n" and time.monotonic() - began < 60
    until_gone(lasting(4244))


DAEMON = """\
import os, signal, sys
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(told, b".")
    os.closerange(0, 3)
    os.execlp("sleep", *sys.argv[1].split())
os.read(ready, 1)
print("done")
"""


def test_a_daemon_that_a_program_started_ends_with_it(person: Person) -> None:
    out, _ = person.steer("run", "app/crew", "--", "python", "-c", DAEMON, lasting(4246))
    assert out == b"done\n"
    until_gone(lasting(4246))


def test_a_lost_link_ends_the_program_and_is_told(
    person: Person, terminal: Callable[..., Terminal]
) -> None:
    there = terminal("sh", "-c", f"trap '' HUP TERM; echo up; {lasting(4245)}; {lasting(4245)}")
    there.until(rb"up\r\n")
    person.cut()
    assert there.end() == 1
    assert b"run it again" in there.seen
    until_gone(lasting(4245))


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--", "nope"], 127, b"not in the release's PATH"),
        (["--host", "h9", "--", "true"], 1, b"it is on here"),
        (["-p", "nope", "--", "true"], 1, b"it has first, second"),
        (["-t", "--", "true"], 2, b"-t needs a terminal"),
    ],
)
def test_what_cannot_be_run_is_told(
    person: Person, argv: list[str], code: int, said: bytes
) -> None:
    out, err = person.steer("run", "app/crew", *argv, expect=code)
    assert out == b"" and said in err, err
