"""Who comes in by which door: peers, tokens, TLS, and those who try without."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from laws.daemon import ROOT, Daemon, app, daemon, job
from steersman.server.limits import Buckets, Limits
from steersman.server.listen import ApiConfig, CannotListen, listening
from steersman.server.tokens import KIND, TokenRefused, Tokens, TokenTaken
from steersman.store.sqlite import SqliteStore

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(tmp_path / "steersman", is_tls=True) as one:
        yield one


async def code(served: Daemon, token: str, path: str, method: str = "GET") -> int:
    async with served.client(token) as client:
        return (await client.request(method, path)).status_code


async def test_a_token_is_shown_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "state") as store:
        tokens = Tokens(store, lambda: NOW)
        text, info = await tokens.create("ci", ["deploy:shop"], timedelta(days=1))
        _, id_, secret = text.split("_")
        assert (len(secret), info.id, info.expires) == (64, id_, "2026-11-26T00:00:00+00:00")
        assert (await tokens.subject(text)).name == "token ci"
        with pytest.raises(TokenTaken):
            await tokens.create("ci", ["admin"], None)
        assert secret not in repr(await store.list(KIND))
    assert secret.encode() not in b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir())


async def test_tokens_that_are_refused(tmp_path: Path) -> None:
    now = [NOW]
    async with SqliteStore(tmp_path / "state") as store:
        tokens = Tokens(store, lambda: now[0])
        text, info = await tokens.create("ci", ["read"], timedelta(hours=1))
        other, _ = await tokens.create("other", ["admin"], None)
        mixed = f"steer_{info.id}_{other.rpartition('_')[2]}"
        for bad in (
            "",
            "steer_",
            text[:-1],
            text + "0",
            text.upper(),
            mixed,
            f"steer_{'0' * 16}_{'0' * 64}",
        ):
            with pytest.raises(TokenRefused):
                await tokens.subject(bad)
        now[0] += timedelta(hours=1)
        with pytest.raises(TokenRefused):
            await tokens.subject(text)
        await tokens.revoke("other")
        with pytest.raises(TokenRefused):
            await tokens.subject(other)


async def test_the_socket_is_its_owners_alone(served: Daemon) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o600
    async with served.client() as client:
        me = (await client.get(f"{ROOT}/whoami")).json()
    assert me["scopes"] == ["admin"]
    assert me["name"].startswith("user ")


async def test_another_user_at_the_socket_is_nobody(tmp_path: Path) -> None:
    async with daemon(tmp_path / "s", admins=(os.geteuid() + 1,)) as one, one.client() as client:
        refused = await client.get(f"{ROOT}/whoami")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert refused.json()["reason"] == "Unauthorized"
        token = await one.token("ci", "read")
        found = await client.get(f"{ROOT}/whoami", headers={"Authorization": f"Bearer {token}"})
        assert found.json()["scopes"] == ["read"]


async def test_without_a_token_only_signs_of_life_are_given(served: Daemon) -> None:
    async with served.client("") as client:
        for path in ("/healthz", "/readyz", "/version"):
            assert (await client.get(path)).status_code == 200, path
        for path in ("/", "/apis", "/openapi/v3", f"{ROOT}/apps", f"{ROOT}/nothing", "/docs"):
            refused = await client.get(path)
            assert refused.status_code == 401, path
            assert refused.json()["kind"] == "Status"
        assert (await client.get(f"{ROOT}/apps", auth=("root", "x"))).status_code == 401


async def test_readyz_says_why_not(tmp_path: Path) -> None:
    def change(parts: object) -> None:
        parts.is_ready = lambda: "the hosts were not looked at yet"  # type: ignore[attr-defined]

    async with daemon(tmp_path / "s", change=change) as one, one.client() as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["message"]) == (
            503,
            "the hosts were not looked at yet",
        )


async def test_scopes_hold_at_the_doors(served: Daemon) -> None:
    store = served.parts.store
    for name in ("shop", "blog"):
        await store.put(app(name))
        await store.put(job(f"{name}-backup", name))
    reader, deployer = await served.token("r", "read"), await served.token("d", "deploy:shop")
    for token, path, wanted in (
        (reader, f"{ROOT}/apps/blog", 200),
        (reader, f"{ROOT}/tokens", 403),
        (deployer, f"{ROOT}/apps/shop", 200),
        (deployer, f"{ROOT}/apps/shop/status", 200),
        (deployer, f"{ROOT}/apps/blog", 403),
        (deployer, f"{ROOT}/apps/no-such", 403),
        (deployer, f"{ROOT}/apps/blog/logs", 403),
        (deployer, f"{ROOT}/apps/blog/busy", 403),
        (deployer, f"{ROOT}/jobs/shop-backup", 200),
        (deployer, f"{ROOT}/jobs/blog-backup", 403),
        (deployer, f"{ROOT}/jobs/blog-backup/logs", 403),
        (deployer, f"{ROOT}/secrets/shop", 403),
        (deployer, f"{ROOT}/tokens", 403),
        (deployer, f"{ROOT}/generations", 403),
        (deployer, f"{ROOT}/instances?app=blog", 403),
    ):
        assert await code(served, token, path) == wanted, path
    for path in ("apps/blog/rollout/restart", "apps/shop/rollout/restart", "hosts/h1/drain"):
        assert await code(served, reader, f"{ROOT}/{path}", "POST") == 403, path
    for path in ("apps/blog/scale", "hosts/h1/cordon", "hostchecks", "hosttrust", "tokens"):
        assert await code(served, deployer, f"{ROOT}/{path}", "POST") == 403, path
    assert await code(served, deployer, f"{ROOT}/apps/shop", "DELETE") == 403
    async with served.client(deployer) as client:
        told = (await client.get(f"{ROOT}/apps/blog")).json()
    assert told["message"].startswith("token d may not get app/blog: it has deploy:shop")
    assert told["details"]["error"]["type"] == "ApiError"


async def test_programs_are_for_those_who_may_exec(
    served: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    trust = ssl.create_default_context(cafile=served.ca)
    url = served.url.replace("https", "wss") + f"{ROOT}/apps/"
    await served.parts.store.put(app())
    for scope, name, code in (
        ("deploy:shop", "blog", 403),
        ("read", "shop", 403),
        (None, "shop", 401),
    ):
        token = await served.token(f"t-{name}-{code}", scope) if scope else "steer_x"
        headers = {"Authorization": f"Bearer {token}"}
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{url}{name}/exec", ssl=trust, additional_headers=headers):
                pass
        assert refused.value.response.status_code == code
        assert b'"kind":"Status"' in (refused.value.response.body or b"")
    # A refusal is an answer, and not the error that uvicorn takes it for.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    token = await served.token("own", "deploy:shop")
    headers = {"Authorization": f"Bearer {token}"}
    for asked, why in (
        ("{", "not JSON"),
        ('{"argv": [], "host": "h1"}', "argv"),
        ('{"argv": ["a\\u0000b"], "host": "h1"}', "NUL"),
        ('{"argv": ["id"], "host": "h1", "terminal": {"size": [0, 1]}}', "size"),
        ('{"argv": ["id"], "host": "h1"}', "app shop is not on host h1"),
        ('{"argv": ["id"], "user": "root"}', "not known here"),
    ):
        async with connect(f"{url}shop/exec", ssl=trust, additional_headers=headers) as link:
            await link.send(asked)
            told = await link.recv()
        assert why in str(told), asked


async def test_a_revoked_token_is_out_at_once(served: Daemon) -> None:
    token = await served.token("ci", "read")
    assert await code(served, token, f"{ROOT}/whoami") == 200
    async with served.client() as client:
        listed = (await client.get(f"{ROOT}/tokens")).json()["items"]
        assert [each["name"] for each in listed] == ["ci"]
        assert token.rpartition("_")[2] not in str(listed)
        assert (await client.delete(f"{ROOT}/tokens/ci")).status_code == 200
        assert (await client.delete(f"{ROOT}/tokens/ci")).status_code == 404
    assert await code(served, token, f"{ROOT}/whoami") == 401


async def test_tokens_are_no_objects_of_the_api(served: Daemon) -> None:
    await served.token("ci", "admin")
    async with served.client() as client:
        assert (await client.get(f"{ROOT}/tokens/ci")).status_code == 405
        objects = await client.post(f"{ROOT}/apply", json={"objects": [{"kind": "Token"}]})
        assert objects.status_code == 422


async def test_wrong_tokens_are_throttled_by_id_and_right_ones_are_not(tmp_path: Path) -> None:
    limits = Limits(failures=3, failure_pause=1000)
    async with daemon(tmp_path / "s", limits=limits, is_tls=True, clock=lambda: 0.0) as one:
        good = await one.token("ci", "read")
        wrong = f"steer_{'a' * 16}_{'b' * 64}"
        codes = [await code(one, wrong, f"{ROOT}/whoami") for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert await code(one, good, f"{ROOT}/whoami") == 200
        async with one.client(wrong) as client:
            assert int((await client.get("/apis")).headers["Retry-After"]) > 900


async def test_each_subject_has_its_own_rate(tmp_path: Path) -> None:
    limits = Limits(rate=0.001, burst=2)
    async with daemon(tmp_path / "s", limits=limits, is_tls=True, clock=lambda: 0.0) as one:
        first, second = await one.token("a", "read"), await one.token("b", "read")
        assert [await code(one, first, f"{ROOT}/whoami") for _ in range(3)] == [200, 200, 429]
        assert await code(one, second, f"{ROOT}/whoami") == 200
        async with one.client() as client:
            own = [(await client.get(f"{ROOT}/whoami")).status_code for _ in range(4)]
        assert own == [200] * 4


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    buckets = Buckets(2, 0.5, lambda: now[0])
    for _ in range(2):
        assert buckets.wait("a") == 0
        buckets.take("a")
    assert buckets.wait("a") == 2
    now[0] = 2
    assert (buckets.wait("a"), buckets.wait("b")) == (0, 0)


async def test_names_that_are_not_ours_are_refused(served: Daemon) -> None:
    token = await served.token("ci", "read")
    async with served.client(token) as client:
        for headers, wanted in (
            ({"Host": "evil.example.com"}, 421),
            ({"Host": ""}, 421),
            ({"Origin": "https://evil.example.com"}, 403),
            ({"Host": "LOCALHOST:1"}, 200),
        ):
            found = await client.get(f"{ROOT}/whoami", headers=headers)
            assert found.status_code == wanted, headers


async def test_bodies_are_bounded_and_must_come(tmp_path: Path) -> None:
    path = f"{ROOT}/apply"
    async with daemon(tmp_path / "s", limits=Limits(body=1000)) as one, one.client() as client:
        big = await client.post(
            path, content=b"x" * 1001, headers={"Content-Type": "application/json"}
        )
        assert big.status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        chunked = await client.post(
            path, content=chunks(), headers={"Content-Type": "application/json"}
        )
        assert chunked.status_code == 413
    async with daemon(tmp_path / "t", limits=Limits(body_wait=0.2)) as one:
        reader, writer = await asyncio.open_unix_connection(str(one.socket))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 10\r\n\r\n{{".encode())
        assert b"408" in await reader.readline()
        writer.close()


async def test_what_is_no_http_is_dropped(served: Daemon) -> None:
    for said in (b"\x16\x03\x01\x02\x00\x01" * 20, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_unix_connection(str(served.socket))
        writer.write(said)
        answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), said
        writer.close()
    async with served.client() as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_tls_takes_no_old_protocol_and_no_plain_text(served: Daemon) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(served.url.replace("https", "http") + "/healthz")
    old = ssl.create_default_context(cafile=served.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    port = int(served.url.rpartition(":")[2])
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("localhost", port, ssl=old)


async def nothing(scope: object, receive: object, send: object) -> None: ...


async def test_tcp_without_tls_does_not_start(tmp_path: Path) -> None:
    for config in (ApiConfig(listen="127.0.0.1:0"), ApiConfig(listen="127.0.0.1:0", key="/x")):
        with pytest.raises(CannotListen, match="without TLS everybody"):
            async with listening(nothing, tmp_path, config):
                pass
    assert not (tmp_path / "steer.sock").exists()


async def test_a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "steer.sock"))
    dead.close()
    async with daemon(tmp_path) as one, one.client() as client:
        assert (await client.get("/healthz")).status_code == 200
        with pytest.raises(CannotListen, match="another daemon answers"):
            async with listening(nothing, tmp_path):
                pass
        assert (await client.get("/healthz")).status_code == 200
    assert not (tmp_path / "steer.sock").exists()
