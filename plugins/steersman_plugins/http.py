"""Requests to others over HTTP, and what their answers mean; the one module that knows httpx."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Annotated, Self
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator

from steersman.api.plugging import PluginError
from steersman.api.refusal import Refused
from steersman.api.text import has_control

PATIENCE = httpx.Timeout(20.0, connect=10.0)
MOST_ANSWER = 64 * 1024
# What may be otherwise once somebody has mended the settings, here or there.
_MENDABLE = frozenset({401, 402, 403, 404, 407, 408, 425, 429})


def check_url(url: str) -> str:
    """Return `url` when it leads somewhere over HTTP; it may be a secret, so no error shows it."""
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or has_control(url) or " " in url:
        raise Refused("another text", "a URL that begins with https:// or http://")
    return url


Url = Annotated[str, AfterValidator(check_url)]


def shown(url: str) -> str:
    """Return what of a URL may be told: the rest often is a password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


class Http:
    """A client of one plugin's; it follows no redirects and reads no long answers."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        agent = {"User-Agent": "steersman"}
        self._client = httpx.AsyncClient(headers={**agent, **(headers or {})}, timeout=PATIENCE)

    async def close(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        await self.close()

    async def post(
        self, url: str, content: bytes, headers: Mapping[str, str], *, method: str = "POST"
    ) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of a good answer; raises PluginError for any other."""
        try:
            async with self._client.stream(
                method, url, content=content, headers=dict(headers)
            ) as answer:
                body = await _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            why = _without(url, str(error)) or type(error).__name__
            raise PluginError(f"{shown(url)}: {why}; see whether it runs there") from None
        if answer.is_success:
            return answer.headers, body
        raise _refused(shown(url), answer)


async def _read(answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MOST_ANSWER:
            break
    return body[:MOST_ANSWER]


def _refused(place: str, answer: httpx.Response) -> PluginError:
    status = answer.status_code
    what = f"{place} answered {status} {answer.reason_phrase}"
    if answer.is_redirect:
        return PluginError(f"{what}; name the place itself where it redirects to")
    after = retry_after(answer.headers)
    is_final = 400 <= status < 500 and status not in _MENDABLE
    hint = "what was shipped is dropped" if is_final else "see what it expects of config"
    return PluginError(f"{what}; {hint}", is_final=is_final, after=after)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return for how many seconds the other side asks to be left alone."""
    said = headers.get("retry-after", "")
    try:
        return max(0.0, min(float(said), 86400.0))
    except ValueError:
        pass
    try:
        return max(0.0, min(parsedate_to_datetime(said).timestamp() - time.time(), 86400.0))
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _without(url: str, text: str) -> str:
    return text.replace(url, shown(url))
