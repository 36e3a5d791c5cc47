"""POST /hooks/NAME on a real server: what is answered, what is woken, and how much is read."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from steersman.api.errors import SteersmanError
from steersman.server.hooks import Hook, HookDoor
from steersman.server.hooks.config import MOST_BODY
from steersman.server.hooks.door import SECONDS_BETWEEN, Coalescing
from steersman.server.hooks.replays import KIND, MOST, WEEK, Replays
from steersman.store.sqlite import SqliteStore

SECRET = "correct horse battery"
HOOKS = {
    "shop": Hook(provider="github", secret="shop-hook", app="shop"),
    "fleet": Hook(provider="gitea", secret="shop-hook", repository="fleet"),
    "closed": Hook(provider="github", secret="nobody-has-it", app="shop"),
    "crowd": Hook(provider="github", secret="three", app="shop"),
}


class NoSecret(SteersmanError):
    """There is no such Secret."""


async def secrets(name: str) -> Sequence[str]:
    known = {"shop-hook": [SECRET, "the one before"], "three": ["a", "b", "c"]}
    if name not in known:
        raise NoSecret(f"secret {name} is not known")
    return known[name]


@dataclass
class Door:
    """A daemon's port with hooks; `woken` are the keys, `now` its time."""

    port: int
    woken: list[str] = field(default_factory=list)
    now: float = 1_800_000_000.0

    async def post(self, name: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
        changed = {key.replace("_", "-"): value for key, value in headers.items()}
        given = {"content-type": "application/json", **signed(body), **changed}
        sent = {key: value for key, value in given.items() if value}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            return await client.post(f"/hooks/{name}", content=body, headers=sent)


def signed(body: bytes, secret: str = SECRET, id_: str = "1") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "x-hub-signature-256": f"sha256={digest}",
        "x-github-delivery": id_,
        "x-gitea-signature": digest,
    }


@asynccontextmanager
async def served(folder: Path, **options: Any) -> AsyncIterator[Door]:
    async with SqliteStore(folder) as store:
        door = Door(0)
        hooks = HookDoor(
            HOOKS, store, secrets, door.woken.append, clock=lambda: door.now, **options
        )
        config = uvicorn.Config(hooks.app(), port=0, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        socket = config.bind_socket()
        socket.listen()
        serving = asyncio.create_task(server.serve([socket]))
        door.port = socket.getsockname()[1]
        try:
            yield door
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with served(tmp_path) as door:
        yield door


async def test_a_signed_delivery_is_accepted_and_only_wakes(door: Door) -> None:
    answer = await door.post("shop", b'{"ref": "refs/heads/anything", "after": "f00"}')
    assert (answer.status_code, door.woken) == (202, ["App/shop"])
    assert (await door.post("fleet")).status_code == 202
    assert door.woken == ["App/shop", "Repository/fleet"]
    with_older = signed(b"{}", "the one before", "2")
    assert (await door.post("fleet", b"{}", **with_older)).status_code == 202


async def test_a_replay_wakes_nobody_for_a_week_and_across_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path) as door:
        await door.post("shop")
        answer = await door.post("shop")
        assert (answer.status_code, answer.json()) == (
            202,
            {"message": "this delivery came before"},
        )
    async with served(tmp_path) as again:
        await again.post("shop")
        assert again.woken == []
        again.now += WEEK + 1
        await again.post("shop")
        assert again.woken == ["App/shop"]


@pytest.mark.parametrize(
    "name", ["nothing", "shop/", "closed", "crowd", "..%2fshop", "%00", "Shop"]
)
async def test_a_hook_without_a_usable_secret_is_not_there(door: Door, name: str) -> None:
    assert (await door.post(name)).status_code == 404
    assert door.woken == []


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"x_hub_signature_256": ""}),
        (401, {"x_hub_signature_256": "sha256=" + "0" * 64}),
        (401, signed(b"{}", "guessed")),
        (415, {"content_type": "text/plain"}),
        (415, {"content_type": ""}),
        (415, {"content_encoding": "gzip"}),
    ],
)
async def test_what_is_not_signed_or_not_a_webhook_wakes_nobody(
    door: Door, status: int, headers: dict[str, str]
) -> None:
    answer = await door.post("shop", gzip.compress(bytes(1 << 20)), **headers)
    assert (answer.status_code, door.woken) == (status, [])


async def test_other_methods_are_refused(door: Door) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            assert (await client.request(method, "/hooks/shop")).status_code == 405


@pytest.mark.looptime
async def test_many_looks_at_once_come_to_two_and_none_is_lost() -> None:
    woken: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()
    wake = Coalescing(lambda key: woken.append((loop.time(), key)))
    for _ in range(5):
        wake("App/shop")
    wake("App/blog")
    assert woken == [(0, "App/shop"), (0, "App/blog")]
    await asyncio.sleep(60)
    assert woken[2:] == [(SECONDS_BETWEEN, "App/shop")]
    wake("App/shop")
    assert woken[3:] == [(60, "App/shop")]


class Sender:
    """A connection that sends bytes by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.sent = 0

    async def head(self, *lines: str, body: bytes = b"") -> None:
        text = "\r\n".join(["POST /hooks/shop HTTP/1.1", "Host: x", *lines, "", ""])
        self._writer.write(text.encode() + body)
        await self._writer.drain()

    async def body(self, most: int) -> None:
        """Send chunks until somebody hangs up or `most` bytes are gone."""
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        while self.sent < most:
            self._writer.write(chunk)
            await self._writer.drain()
            self.sent += 0x8000

    async def status(self) -> int:
        line = await self._reader.readline()
        return int(line.split()[1])

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def connect(door: Door) -> AsyncIterator[Callable[[], Awaitable[Sender]]]:
    made: list[Sender] = []

    async def opened() -> Sender:
        made.append(Sender(*await asyncio.open_connection("127.0.0.1", door.port)))
        return made[-1]

    yield opened
    for sender in made:
        sender.close()


TYPE = "Content-Type: application/json"


async def test_a_giant_is_refused_by_its_length_alone(
    connect: Callable[[], Awaitable[Sender]],
) -> None:
    for length in ("1000000000", "9" * 5000, "65537"):
        sender = await connect()
        await sender.head(TYPE, f"Content-Length: {length}")
        assert await sender.status() in (400, 413)


async def test_a_giant_without_a_length_is_refused_before_much_of_it_is_read(
    connect: Callable[[], Awaitable[Sender]],
) -> None:
    sender = await connect()
    await sender.head(TYPE, "Transfer-Encoding: chunked")
    sending = asyncio.create_task(sender.body(1 << 30))
    assert await sender.status() == 413
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    # What is beyond the limit lay in the buffers of two sockets.
    assert sender.sent < MOST_BODY + (16 << 20)


async def test_a_truncated_delivery_and_one_that_never_ends_cost_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, seconds_to_send=0.05) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        sender = Sender(reader, writer)
        await sender.head(TYPE, "Content-Length: 100")
        assert await sender.status() == 408
        sender.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        sender = Sender(reader, writer)
        await sender.head(TYPE, "Content-Length: 100")
        sender.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        sender = Sender(reader, writer)
        lines = [f"{name}: {value}" for name, value in signed(b"{}").items()]
        # In one piece: nothing of this one can come too late.
        await sender.head(TYPE, "Content-Length: 2", *lines, body=b"{}")
        assert await sender.status() == 202
        sender.close()
        assert door.woken == ["App/shop"]


async def test_the_memory_of_replays_is_bounded(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path) as store:
        await store.put(
            {"apiVersion": "steersman/v1", "kind": KIND, "metadata": {"name": "shop"}, "spec": {}}
        )
        full = [[f"{number:032x}", 2e9] for number in range(MOST)]
        await store.put_status(KIND, "shop", {"seen": full})
        replays = Replays(store, lambda: 1.8e9)
        assert await replays.is_new("shop", "f" * 32)
        stored = await store.get(KIND, "shop")
        assert stored is not None
        assert len(stored.status["seen"]) == MOST
        assert not await replays.is_new("shop", f"{1:032x}")
        assert await replays.is_new("shop", f"{0:032x}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"app": None},
        {"repository": "fleet"},
        {"provider": "sourceforge"},
        {"max_body": "30M"},
        {"secret": "../x"},
    ],
)
def test_a_hook_that_leads_nowhere_is_refused(wrong: dict[str, object]) -> None:
    good = {"provider": "github", "secret": "shop-hook", "app": "shop"}
    with pytest.raises(ValidationError):
        Hook.model_validate({**good, **wrong})


HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-length", "content-encoding", "x-hub-signature-256", "x-x"]
    ),
    st.one_of(st.text(st.characters(max_codepoint=255), max_size=60), st.just("application/json")),
)


@settings(max_examples=200)
@given(st.text(max_size=20), HEADERS, st.lists(st.binary(max_size=40000), max_size=4))
def test_whatever_is_sent_is_answered_and_never_by_an_error_of_ours(
    name: str, headers: dict[str, str], chunks: list[bytes]
) -> None:
    async def answer() -> tuple[int, int]:
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        left, started = list(chunks), []

        async def receive() -> dict[str, Any]:
            body = left.pop(0) if left else b""
            return {"type": "http.request", "body": body, "more_body": bool(left)}

        async def send(message: dict[str, Any]) -> None:
            started.append(message)

        class Nothing:
            """No store is asked: nothing here is ever believed."""

        door = HookDoor(HOOKS, Nothing(), secrets, woken.append)  # type: ignore[arg-type]
        app = door.app()
        scope = {"type": "http", "method": "POST", "path": f"/hooks/{name}", "headers": raw}
        await app({**scope, "query_string": b"", "scheme": "http"}, receive, send)  # type: ignore[arg-type]
        body = b"".join(message.get("body", b"") for message in started)
        if started[0]["status"] not in (404, 405):
            json.loads(body)
        read = sum(map(len, chunks)) - sum(map(len, left))
        return started[0]["status"], read

    woken: list[str] = []
    status, read = asyncio.run(answer())
    assert 400 <= status < 500
    assert read <= MOST_BODY + 40000
    assert woken == []
