"""Calls, streams and pushes over a real sshd to a hand that runs in a real python3."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from steersman.api.errors import HostUnreachable
from steersman.transport.bundle import Bundle, hand_bundle
from steersman.transport.errors import (
    BundleRefused,
    CallTimedOut,
    HandError,
    HandFailed,
    HostBusy,
    ProtocolError,
    PythonMissing,
    PythonTooOld,
    StaleEpoch,
    StreamOverrun,
    SudoRefused,
)
from steersman.transport.frames import MAX_BODY, Reply, pack
from steersman.transport.link import Link
from steersman.transport.pulse import Timing
from steersman.transport.target import Target
from transport_lab import SSHD, Cutter, Server, fake_bundle, make_key, run_sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs OpenSSH's sshd")

BUNDLE = fake_bundle()
# Seconds that anything may take on a machine that is busy with other tests.
WITHIN = 60
HASTY = Timing(ping=0.1, silence=0.6)
Programs = tuple[Server, Callable[[str, str], None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(target: Target, **options: Any) -> AsyncIterator[Link]:
    link = await Link.open(target, {"root": "/srv/x"}, **{"bundle": BUNDLE, **options})
    try:
        yield link
    finally:
        await link.close()


def hurry(link: Link) -> None:
    """Have a link that stands be given up soon, for its opening takes as long as it takes."""
    link._pulse.stop()
    link._pulse._timing = HASTY
    link._pulse.begin()


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    async with opened(server.target()) as link:
        yield link


async def test_the_hand_gets_its_settings_and_answers(link: Link) -> None:
    assert link.hello["settings"] == {"root": "/srv/x"}
    assert link.is_alive


async def test_any_bytes_and_arguments_come_back(link: Link) -> None:
    args = {"text": "a\n'\"$(reboot)\0\u2028é", "deep": [{"n": -1.5, "none": None}]}
    body = bytes(range(256)) * 4096
    assert len(body) == MAX_BODY
    reply = await link.call("echo", body=body, args=args)
    assert (reply.header["args"], reply.body) == (args, body)


async def test_a_thousand_calls_at_once_get_their_own_answers(link: Link) -> None:
    async def ask(number: int) -> tuple[Any, bytes]:
        reply = await link.call("echo", body=b"%d" % number, args=number)
        return reply.header["args"], reply.body

    answers = await asyncio.gather(*map(ask, range(1000)))
    assert answers == [(number, b"%d" % number) for number in range(1000)]


@pytest.mark.parametrize(
    ("kind", "error", "retryable"),
    [("stale", StaleEpoch, False), ("busy", HostBusy, True), ("other", HandError, False)],
)
async def test_errors_of_the_hand(
    link: Link, kind: str, error: type[HandError], retryable: bool
) -> None:
    with pytest.raises(error) as caught:
        await link.call("refuse", kind=kind)
    assert type(caught.value) is error
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.detail == {"holder": "c2"}
    assert str(caught.value) == "host h1: no \\x1b[31mred"


async def test_a_call_that_takes_too_long_is_cancelled_on_the_host(link: Link) -> None:
    with pytest.raises(CallTimedOut, match=r"no answer to wait within 0\.05 s"):
        await link.call("wait", timeout=0.05)
    waiting = asyncio.create_task(link.call("wait"))
    await link.call("ping")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    timed_out, cancelled = (await link.call("cancelled")).header["ids"]
    assert 1 < timed_out < cancelled


async def test_a_stream_ends_by_itself_and_gives_credit(link: Link) -> None:
    values = [reply.header.get("value") async for reply in link.stream("flow", count=500)]
    assert values == [*range(500), None]
    assert (await link.call("cancelled")).header == {"id": 3, "ok": True, "ids": [], "flows": []}


async def test_a_slow_reader_holds_the_stream_and_not_the_link(link: Link) -> None:
    async with contextlib.aclosing(link.stream("flow", count=100_000)) as flow:
        assert (await anext(flow)).header["value"] == 0
        assert (await link.call("echo", args=1)).header["args"] == 1
        assert (await anext(flow)).header["value"] == 1
    report = (await link.call("cancelled")).header
    assert (report["ids"], report["flows"]) == ([2], [])


async def test_a_stream_that_ignores_its_credit_is_bounded(link: Link) -> None:
    async with contextlib.aclosing(link.stream("overrun", count=50_000)) as flow:
        await anext(flow)
        await link.call("ping")
        with pytest.raises(StreamOverrun):
            async for _ in flow:
                pass


async def test_an_error_in_a_stream(link: Link) -> None:
    with pytest.raises(HostBusy):
        async for _ in link.stream("refuse", kind="busy"):
            pass


async def test_pushes_are_kept_up_to_a_limit(link: Link) -> None:
    await link.call("push", count=3, pad=0)
    pushed = [await link.pushes.get() for _ in range(3)]
    assert [frame and frame.header["value"] for frame in pushed] == [0, 1, 2]
    await link.call("push", count=5000, pad=1000)
    kept = await link.pushes.get()
    assert kept is not None
    assert kept.header["value"] == link.pushes.dropped > 3900


@pytest.mark.parametrize(
    "garbage",
    [
        b"Traceback (most recent call last):\n",
        b"\xff" * 100,
        struct.pack(">II", 0, 0),
        struct.pack(">II", 9, 0) + b'{"a":NaN}',
    ],
)
async def test_garbage_ends_the_link_with_the_host_named(link: Link, garbage: bytes) -> None:
    with pytest.raises(ProtocolError, match="host h1: its answer broke the protocol"):
        await link.call("garbage", data=base64.b64encode(garbage).decode())
    assert link.lost.is_set()
    with pytest.raises(ProtocolError):
        await link.call("ping")


@pytest.mark.parametrize(
    "odd",
    [
        {"id": 999, "ok": True},
        {"id": [2], "ok": True},
        {"id": True, "ok": True},
        {"ok": True},
        {"id": -1, "push": None},
    ],
)
async def test_answers_to_nobody_are_ignored(link: Link, odd: dict[str, object]) -> None:
    with pytest.raises(CallTimedOut):
        await link.call("garbage", data=base64.b64encode(pack(odd)).decode(), timeout=0.05)
    await link.call("ping")


@pytest.mark.parametrize("error", [None, "text", 5, {"kind": 7, "message": ["x"]}, {}])
async def test_malformed_refusals_are_still_refusals(link: Link, error: object) -> None:
    refusal = base64.b64encode(pack({"id": 2, "ok": False, "error": error})).decode()
    with pytest.raises(HandError):
        await link.call("garbage", data=refusal)


async def test_a_hand_that_dies_tells_its_last_twenty_lines(link: Link) -> None:
    words = "".join(f"line {number}\n" for number in range(100)) + "\x1b[2Jboom \u202e"
    waiting = asyncio.create_task(link.call("wait"))
    with pytest.raises(HandFailed, match="ended with status 3") as caught:
        await link.call("die", status=3, words=words)
    assert caught.value.output[0] == "line 81"
    assert caught.value.output[-1] == "\\x1b[2Jboom \\u202e"
    assert len(caught.value.output) == 20
    with pytest.raises(HandFailed):
        await waiting
    assert [push async for push in link.pushes] == []


async def test_the_hand_ends_with_its_link(server: Server) -> None:
    async with opened(server.target()) as link:
        descriptor = os.pidfd_open(link.hello["pid"])
        waiting = asyncio.create_task(link.call("wait"))
        await link.call("ping")
    with pytest.raises(HostUnreachable, match="the link was closed"):
        await waiting
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    async with asyncio.timeout(WITHIN):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def test_a_frozen_hand_is_declared_dead(server: Server) -> None:
    async with opened(server.target()) as link:
        hurry(link)
        with pytest.raises(HostUnreachable, match="silent for"):
            await link.call("freeze")


async def test_pings_keep_an_idle_link_alive(server: Server) -> None:
    timing = Timing(ping=0.1)
    async with opened(server.target(), timing=timing) as link, asyncio.timeout(WITHIN):
        for _ in range(3):
            heard_at = link._pulse._heard_at
            while link._pulse._heard_at == heard_at:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert link.is_alive
        assert link.round_trip is not None and link.round_trip > 0


async def test_a_call_is_one_packet(server: Server) -> None:
    no_pings = Timing(ping=3600, silence=3600)
    async with opened(server.target(), timing=no_pings) as link:
        assert link._connection is not None
        ssh = link._connection.tunnel
        await link.call("ping")
        sent = ssh._send_seq
        await link.call("ping")
        assert ssh._send_seq - sent == 1


async def test_a_link_whose_hand_answers_is_kept_alive_by_our_pings_alone(link: Link) -> None:
    assert link._connection is not None
    assert link._connection.tunnel._keepalive_timer is None


async def test_many_links_tick_at_once(server: Server) -> None:
    async with opened(server.target()) as one, opened(server.target()) as other:
        now = asyncio.get_running_loop().time()
        ticks = [link._pulse.next_tick(100.0) for link in (one, other)]
    # By half seconds, of which another may have begun between the two.
    assert all(now + 4 <= tick and (2 * tick).is_integer() for tick in ticks)


async def cut_session(
    server: Server, limits: dict[str, int], *, stalls: bool = False
) -> tuple[dict[str, int], Sequence[Reply | BaseException]]:
    """Open a link through a relay with `limits`, use it, and return what ended it."""
    relay = Cutter(server.port)
    relay.limits, relay.stalls = limits, stalls
    async with relay.running(), asyncio.timeout(WITHIN):
        try:
            async with opened(server.target(port=relay.port)) as link:
                calls = [link.call("echo", args=n, body=b"x" * 5000) for n in range(3)]
                replies = await asyncio.gather(*calls, return_exceptions=True)
                with pytest.raises(HostUnreachable):
                    await link.call("wait")
        except HostUnreachable as error:
            return relay.passed, [error]
    return relay.passed, replies


async def test_a_cut_at_any_byte_fails_every_pending_call_at_once(server: Server) -> None:
    relay = Cutter(server.port)
    async with relay.running(), opened(server.target(port=relay.port)) as link:
        calls = [link.call("echo", args=n, body=b"x" * 5000) for n in range(3)]
        await asyncio.gather(*calls)
        whole = dict(relay.passed)
    for way, size in whole.items():
        for limit in range(1, size, size // 8):
            _, outcomes = await cut_session(server, {way: limit})
            lost = [o for o in outcomes if isinstance(o, BaseException)]
            assert all(type(error) is HostUnreachable for error in lost), (way, limit, lost)


async def test_a_link_that_stalls_without_a_word_is_declared_dead(server: Server) -> None:
    relay = Cutter(server.port)
    async with (
        asyncio.timeout(WITHIN),
        relay.running(),
        opened(server.target(port=relay.port)) as link,
    ):
        relay.stalls = True
        hurry(link)
        calls = [link.call("echo", args=n) for n in range(5)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [HostUnreachable] * 5


async def test_a_big_blob_arrives_whole(link: Link, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(3 * MAX_BODY + 17))
    assert await link.put_blob(hashlib.sha256(path.read_bytes()).hexdigest(), path) is True


async def test_requests_leave_in_the_order_they_were_made(link: Link) -> None:
    answered = []

    async def ask(number: int) -> None:
        await link.call("echo", args=number)
        answered.append(number)

    link.pause_writing()
    waiting = asyncio.create_task(ask(1))
    await asyncio.sleep(0)
    later = asyncio.create_task(ask(2))
    link.resume_writing()
    await asyncio.gather(waiting, later)
    assert answered == [1, 2]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1])
async def test_blobs_of_every_edge_size(link: Link, tmp_path: Path, size: int) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"z" * size)
    assert await link.put_blob(hashlib.sha256(path.read_bytes()).hexdigest(), path) is True


async def test_a_blob_that_is_not_what_it_says_is_not_stored(link: Link, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"other")
    with pytest.raises(ProtocolError, match="did not store"):
        await link.put_blob("0" * 64, path)


async def test_login_scripts_may_print_but_not_without_end(server: Server) -> None:
    greeting = fake_bundle(__init__=b"import os\nos.write(1, b'Welcome!\\n' * 1000)\n")
    async with opened(server.target(), bundle=greeting) as link:
        await link.call("ping")
    flood = fake_bundle(main=b"import os\nwhile True: os.write(1, b'motd ' * 3000)\n")
    with pytest.raises(ProtocolError, match="flood of text"):
        await Link.open(server.target(), {}, bundle=flood)


async def test_a_hand_that_cannot_be_imported_says_why(server: Server) -> None:
    broken = fake_bundle(main=b"import nonsense\n")
    with pytest.raises(HandFailed, match="No module named 'nonsense'"):
        await Link.open(server.target(), {}, bundle=broken)


async def test_an_altered_bundle_is_refused_by_the_host(server: Server) -> None:
    altered = bytearray(BUNDLE.packed)
    altered[100] ^= 1
    with pytest.raises(BundleRefused, match="altered"):
        await Link.open(server.target(), {}, bundle=Bundle(bytes(altered), BUNDLE.command))


async def test_bytecode_is_used_by_the_same_python_and_source_is_there_anyway(link: Link) -> None:
    report = (await link.call("source")).header
    assert "def read_frame" in report["text"]
    assert report["bytecode"] in (True, False)


async def sent(server: Server, root: Path) -> int:
    """Return how many bytes of the hand a host took, where its root is `root`."""
    link = await Link.open(server.target(), {"root": str(root)}, bundle=BUNDLE)
    try:
        size: int = (await link.call("source")).header["sent"]
        return size
    finally:
        await link.close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The hand as an earlier visit left it in the store of a host whose root is `tmp_path`."""
    path = tmp_path / "store" / hashlib.sha256(BUNDLE.packed).hexdigest()
    path.parent.mkdir()
    path.write_bytes(BUNDLE.packed)
    return path


async def test_a_host_that_kept_the_hand_is_not_sent_it_again(
    server: Server, tmp_path: Path, copy: Path
) -> None:
    assert await sent(server, tmp_path) == 0
    copy.unlink()
    assert await sent(server, tmp_path) == len(BUNDLE.packed)


@pytest.mark.parametrize("how", ["altered", "cut", "writable", "link", "pipe", "folder"])
async def test_a_copy_that_others_may_have_made_is_not_run(
    server: Server, tmp_path: Path, copy: Path, how: str
) -> None:
    real = copy.rename(copy.with_name("real"))
    if how == "altered":
        copy.write_bytes(BUNDLE.packed[:-1] + bytes([BUNDLE.packed[-1] ^ 1]))
    elif how == "cut":
        copy.write_bytes(BUNDLE.packed[:-1])
    elif how == "writable":
        real.rename(copy).chmod(0o666)
    elif how == "link":
        copy.symlink_to(real)
    elif how == "pipe":
        os.mkfifo(copy)
    else:
        copy.mkdir()
    assert await sent(server, tmp_path) == len(BUNDLE.packed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_copy_of_another_user_is_not_run(
    server: Server, tmp_path: Path, copy: Path
) -> None:
    os.chown(copy, 65534, 65534)
    assert await sent(server, tmp_path) == len(BUNDLE.packed)


def test_the_hand_is_packed_once_and_for_all(tmp_path: Path) -> None:
    first = hand_bundle(tmp_path)
    hand_bundle.cache_clear()
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().endswith(b"\n" + first.packed)
    for content in (path.read_bytes()[:-1], b"", b"0\nnonsense"):
        path.write_bytes(content)
        hand_bundle.cache_clear()
        assert len(hand_bundle(tmp_path).packed) > 100_000
    hand_bundle.cache_clear()
    (tmp_path / "file").touch()
    assert hand_bundle(tmp_path / "file" / "none").packed
    hand_bundle.cache_clear()


def test_the_command_is_one_constant_line_without_quotes_inside() -> None:
    assert fake_bundle().command == BUNDLE.command
    prefix, script = BUNDLE.command.split(" -c ", 1)
    assert prefix == "python3 -I -S -E"
    assert script[0] == script[-1] == "'"
    assert not set(script[1:-1]) & set("'!\n")
    assert BUNDLE.for_user("sudo") == f"exec sudo -n -- {BUNDLE.command}"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """A server whose PATH is one folder, and a way to put scripts there."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    (tmp_path / "sshd").mkdir()
    with run_sshd(tmp_path / "sshd", folder) as server:
        yield server, put


async def test_a_host_without_python(programs: Programs) -> None:
    server, _ = programs
    with pytest.raises(PythonMissing, match="steer host check h1"):
        await Link.open(server.target(), {}, bundle=BUNDLE)


async def test_a_host_whose_python_is_too_old(programs: Programs) -> None:
    server, put = programs
    lie = "import sys; sys.version_info = (3, 6, 9); sys.version = '3.6.9 (x)'; exec(sys.argv[-1])"
    put("python3", f'exec /usr/bin/python3 -c "{lie}" "$@"')
    with pytest.raises(PythonTooOld, match=r"python3 is 3\.6\.9 and 3\.9 is the oldest"):
        await Link.open(server.target(), {}, bundle=BUNDLE)


@pytest.mark.parametrize(
    "said", ["sudo: a password is required", "steer is not allowed to run sudo on h1."]
)
async def test_sudo_that_refuses(programs: Programs, said: str) -> None:
    server, put = programs
    put("sudo", f'echo "{said}" >&2; exit 1')
    with pytest.raises(SudoRefused, match="NOPASSWD"):
        await Link.open(server.target(become="sudo"), {}, bundle=BUNDLE)


async def test_a_host_without_sudo(programs: Programs) -> None:
    server, _ = programs
    with pytest.raises(SudoRefused, match="not found"):
        await Link.open(server.target(become="sudo"), {}, bundle=BUNDLE)


async def test_sudo_without_python(programs: Programs) -> None:
    server, put = programs
    put("sudo", 'echo "sudo: python3: command not found" >&2; exit 1')
    with pytest.raises(PythonMissing):
        await Link.open(server.target(become="sudo"), {}, bundle=BUNDLE)


async def test_sudo_that_agrees(programs: Programs) -> None:
    server, put = programs
    put("sudo", 'test "$1 $2 $3" = "-n -- python3" && shift 3 && exec /usr/bin/python3 "$@"')
    async with opened(server.target(become="sudo")) as link:
        await link.call("ping")


async def test_a_blob_goes_on_where_it_stopped_and_is_sent_once(link: Link, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(700_000))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    await link.call("put_begin", sha256=digest, size=700_000)
    part = path.read_bytes()[:300_000]
    await link.call("put", sha256=digest, size=700_000, offset=0, body=part)
    # The hand refuses a chunk at any other offset than the one it stands at.
    assert await link.put_blob(digest, path) is True
    assert await link.put_blob(digest, path) is False


async def test_an_asyncssh_server_is_as_good_a_host(tmp_path: Path, server: Server) -> None:
    ended = asyncio.Event()

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.command is not None
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert child.stdin and child.stdout and child.stderr
        try:
            await asyncio.gather(
                pump(process.stdin, child.stdin),
                pump(child.stdout, process.stdout),
                pump(child.stderr, process.stderr),
                return_exceptions=True,
            )
        finally:
            await child.communicate()
            ended.set()

    async def pump(
        reader: asyncssh.SSHReader[bytes] | asyncio.StreamReader,
        writer: asyncssh.SSHWriter[bytes] | asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    make_key(tmp_path / "host")
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[tmp_path / "host"],
        authorized_client_keys=str(server.folder / "authorized_keys"),
        process_factory=serve,
        encoding=None,
    )
    public = (tmp_path / "host.pub").read_text()
    async with listener:
        target = server.target(port=listener.get_port(), host_keys=(public,))
        async with opened(target) as link:
            body = os.urandom(MAX_BODY)
            assert (await link.call("echo", args=1, body=body)).body == body
        await ended.wait()
