"""Posts signals to a URL, as JSON or as a template says, and signs them.

Signatures: https://github.com/standard-webhooks/standard-webhooks (v1, HMAC-SHA256), and the
`sha256=` header that GitHub made usual.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.plugging import Plugin
from steersman.api.refusal import Refused, quoted
from steersman.api.signals import SHIPPED, Signal, SignalName
from steersman.api.text import has_control
from steersman_plugins.http import Http, Url
from steersman_plugins.plain import plain
from steersman_plugins.templates import Rendering, Template

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers that break no request; their values may be secrets."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise Refused(quoted(name), "the name of a header")
        if has_control(value) or not value.isascii():
            raise Refused(f"another value of {quoted(name)}", "one line of ASCII")
    return headers


class Webhook(Plugin):
    """A URL that JSON is posted to: {"signals": […]} of a batch, or a template's text of each."""

    takes: ClassVar[frozenset[SignalName]] = frozenset(SHIPPED)

    class Config(Model):
        """With `body`, a template, there is one request for each signal. `secret` signs them."""

        url: Url
        method: Literal["POST", "PUT"] = "POST"
        headers: Annotated[Mapping[str, str], AfterValidator(check_headers)] = Field(
            default_factory=dict
        )
        body: Template | None = None
        content_type: str = "application/json"
        secret: Annotated[str, Field(min_length=8)] | None = None

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self._http = Http()
        self._rendering = Rendering(config.body) if config.body is not None else None

    async def ship(self, batch: Sequence[Signal]) -> None:
        if not batch:
            return
        if self._rendering is None:
            body = json.dumps({"plugin": self.name, "signals": [*map(plain, batch)]})
            await self._post(body.encode())
            return
        for signal in batch:
            await self._post(self._rendering.render(signal).encode(errors="backslashreplace"))

    async def close(self) -> None:
        await self._http.close()

    async def _post(self, body: bytes) -> None:
        config = self.config
        headers = {"Content-Type": config.content_type, **config.headers}
        if config.secret is not None:
            headers |= signatures(config.secret.encode(), body)
        await self._http.post(config.url, body, headers, method=config.method)


def signatures(key: bytes, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver who has the key knows that `body` is ours and new."""
    # The same body has the same id: one that came twice is known by it.
    id_, when = f"msg_{uuid.uuid5(uuid.NAMESPACE_OID, body.hex()).hex}", str(int(time.time()))
    told = b".".join((id_.encode(), when.encode(), body))
    signed = base64.b64encode(hmac.digest(key, told, hashlib.sha256)).decode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": when,
        "webhook-signature": f"v1,{signed}",
        "X-Hub-Signature-256": f"sha256={hmac.digest(key, body, hashlib.sha256).hex()}",
    }
