"""Requests to a daemon over HTTP, and its answers; the one module that knows httpx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from steersman.api.errors import SteersmanError
from steersman.client.contexts import Context
from steersman.client.errors import DaemonLost, DaemonUnreachable, NotADaemon
from steersman.control.faults import decode_error, raise_all
from steersman.control.report import Reporter
from steersman.control.told import play

ROOT = "/apis/steersman/v1"
NDJSON = "application/x-ndjson"
# The daemon gives a sign of life every five seconds, or fifteen where it watches.
PATIENCE = httpx.Timeout(120.0, connect=10.0)
SILENCE = httpx.Timeout(60.0, connect=10.0)
TRIES = 5

Params = Mapping[str, str | int | list[str]]


class Api:
    """One daemon. Errors are those that the daemon had, as the same classes with the same text."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        context: Context,
        report: Reporter,
        patience: float | None = None,
    ) -> None:
        self._client = client
        self._patience = patience
        self.context = context
        self.report = report

    async def call(
        self,
        method: str,
        path: str,
        *,
        data: Any = None,
        params: Params | None = None,
        type_: str = "application/json",
        is_new: bool = False,
    ) -> httpx.Response:
        """Return the answer to one request; raises the daemon's error, or that there is none.

        With `is_new` it is refused where the object is there already.
        """
        for attempt in range(TRIES):
            request = self._request(method, path, data, params, type_, PATIENCE)
            if is_new:
                request.headers["If-None-Match"] = "*"
            try:
                response = await self._client.send(request)
            except httpx.HTTPError as error:
                raise self._broken(error) from error
            if response.status_code != 429 or attempt == TRIES - 1:
                break
            await asyncio.sleep(_wait(response))
        self._check(response)
        return response

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the data in the answer to one request."""
        return self._data((await self.call(method, path, **options)).content)

    async def lines(
        self, method: str, path: str, *, data: Any = None, params: Params | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """Yield the values that an answer goes on with; raises DaemonLost where it breaks off."""
        request = self._request(method, path, data, params, "application/json", SILENCE)
        request.headers["Accept"] = NDJSON
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        try:
            if response.status_code >= 400:
                await response.aread()
            self._check(response)
            async for line in response.aiter_lines():
                value = self._data(line.encode())
                if not isinstance(value, dict):
                    raise NotADaemon(self.context.server, "a line is no JSON object")
                yield value
        except httpx.HTTPError as error:
            raise DaemonLost(self.context.server) from error
        finally:
            await response.aclose()

    @asynccontextmanager
    async def looked_at(
        self, path: str, query: bytes, accept: str
    ) -> AsyncIterator[httpx.Response]:
        """Yield the answer to a GET of `path`, whatever it says, before its body has come."""
        url = httpx.URL(path, query=query)
        # Its bytes are passed on as they come, so nobody on the way may pack them.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        request = self._client.build_request("GET", url, headers=headers, timeout=SILENCE)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        try:
            yield response
        finally:
            await response.aclose()

    async def told(
        self, path: str, data: Any = None, *, method: str = "POST", report: Reporter | None = None
    ) -> Any:
        """Have something done, tell the reporter of it as it goes, and return its outcome."""
        heard = report if report is not None else self.report
        params: Params = (
            {"lockTimeout": round(self._patience)} if self._patience is not None else {}
        )
        lines = self.lines(method, path, data=data if data is not None else {}, params=params)
        try:
            async for line in lines:
                if "told" in line:
                    play(line, heard)
                elif "outcome" in line:
                    return line["outcome"]
                elif "faults" in line:
                    raise_all(line["faults"])
        finally:
            await lines.aclose()
        raise DaemonLost(self.context.server)

    def _request(
        self,
        method: str,
        path: str,
        data: Any,
        params: Params | None,
        type_: str,
        timeout: httpx.Timeout,
    ) -> httpx.Request:
        content = orjson.dumps(data) if data is not None else None
        headers = {"Content-Type": type_} if content is not None else {}
        return self._client.build_request(
            method, ROOT + path, content=content, params=params, headers=headers, timeout=timeout
        )

    def _check(self, response: httpx.Response) -> None:
        """Raise the error that a Status tells of."""
        if response.status_code < 400:
            return
        status = self._data(response.content)
        try:
            told = status["details"]["error"]
        except (KeyError, TypeError):
            what = f"it answers {response.status_code}"
            raise NotADaemon(self.context.server, what) from None
        raise decode_error(told)

    def _data(self, raw: bytes) -> Any:
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise NotADaemon(self.context.server, "it does not speak JSON") from None

    def _broken(self, error: httpx.HTTPError) -> SteersmanError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            why = str(error) or "no answer"
            if "CERTIFICATE_VERIFY_FAILED" in why:
                why += " (`--certificate-authority FILE` or `--fingerprint` say whom to trust)"
            return DaemonUnreachable(self.context.server, why)
        return DaemonLost(self.context.server)


def _wait(response: httpx.Response) -> float:
    wait = response.headers.get("Retry-After", "1")
    return min(30.0, float(wait) if wait.isdecimal() else 1.0)


@asynccontextmanager
async def connected(
    context: Context,
    report: Reporter,
    *,
    socket: str | None,
    tls: ssl.SSLContext | None,
    patience: float | None = None,
) -> AsyncIterator[Api]:
    """Yield the daemon of a context, by a Unix socket or by TLS."""
    headers = {"Authorization": f"Bearer {context.token}"} if context.token is not None else {}
    if socket is not None:
        transport, base = httpx.AsyncHTTPTransport(uds=socket, retries=2), "http://localhost"
    else:
        verify = tls if tls is not None else True
        transport, base = httpx.AsyncHTTPTransport(verify=verify, retries=2), context.server
    async with httpx.AsyncClient(
        transport=transport, base_url=base, headers=headers, timeout=PATIENCE, trust_env=False
    ) as client:
        yield Api(client, context, report, patience)
