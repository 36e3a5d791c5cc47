"""`steer dashboard`: who sees the page's data, and that the key stays out of what others read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from steersman.cli import dashboard
from steersman.cli.mirror import mirror
from steersman.client.errors import DaemonLost

KEY = "a-key-of-this-run"


class Api:
    """Stands where the daemon is: remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.is_lost = False

    @asynccontextmanager
    async def looked_at(self, path: str, query: bytes, accept: str) -> AsyncIterator[Any]:
        if self.is_lost:
            raise DaemonLost("unix:///run/steer.sock")
        self.asked.append((path, query))
        yield httpx.Response(200, stream=httpx.ByteStream(b'{"items": []}'))


def browser(api: Api) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=mirror(api, KEY))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000")


async def test_whoever_has_the_key_reads_and_nobody_writes() -> None:
    api = Api()
    async with browser(api) as client:
        known = {"Authorization": f"Bearer {KEY}"}
        got = await client.get("/apis/steersman/v1/apps?limit=2", headers=known)
        assert (got.status_code, got.json()) == (200, {"items": []})
        posted = await client.post("/apis/steersman/v1/apply", headers=known)
        assert posted.status_code == 405
    assert api.asked == [("/apis/steersman/v1/apps", b"limit=2")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer another"},
        {"Authorization": f"Bearer {KEY}", "Host": "evil.example.com:4000"},
    ],
)
async def test_nobody_else_sees_anything(headers: dict[str, str]) -> None:
    api = Api()
    async with browser(api) as client:
        assert (await client.get("/apis/steersman/v1/apps", headers=headers)).status_code == 401
    assert api.asked == []


async def test_the_page_says_that_the_daemon_is_lost() -> None:
    api = Api()
    api.is_lost = True
    async with browser(api) as client:
        got = await client.get(
            "/apis/steersman/v1/apps", headers={"Authorization": f"Bearer {KEY}"}
        )
    assert (got.status_code, "daemon" in got.json()["message"]) == (502, True)


async def test_the_page_runs_nothing_but_its_own_files() -> None:
    async with browser(Api()) as client:
        page = await client.get("/dashboard/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self';" in page.headers["content-security-policy"]
        again = await client.get("/dashboard/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for path in ("/dashboard/../serve.py", "/dashboard/page.py", "/dashboard/%2e%2e/app.py"):
            assert (await client.get(path)).status_code == 404


def test_a_browser_is_not_given_the_key_as_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "dashboard.html"
    dashboard._open(f"http://127.0.0.1:4000/dashboard/#token={KEY}", page)
    assert opened == [page.as_uri()]
    assert KEY in page.read_text()
