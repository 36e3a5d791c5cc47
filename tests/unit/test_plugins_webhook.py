"""webhook and slack keep the laws of plugins over real HTTP; signatures can be verified."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from plugin_lab import HttpServer
from steersman.api.plugging import Plugin, PluginError
from steersman.testing.plugin_laws import PluginLaws, Server
from steersman.testing.signals import hostile, signal
from steersman_plugins.slack import Slack
from steersman_plugins.webhook import Webhook

KEY = "canary-signing-key"


@pytest.fixture
def http() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


class Bodies(Server):
    """What was posted, as texts with no escapes in them."""

    secrets = (KEY, "canary-path", "canary-token")

    def __init__(self, http: HttpServer, config: Mapping[str, Any]) -> None:
        self.http, self.config = http, {"url": f"{http.url}/canary-path", **config}

    async def received(self) -> str:
        found = [json.loads(asked.body) for asked in self.http.accepted]
        return json.dumps(found, ensure_ascii=False)

    async def refuse(self, is_refusing: bool) -> None:
        self.http.status = 500 if is_refusing else 200


class TestWebhook(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Webhook

    @pytest.fixture
    def server(self, http: HttpServer) -> Server:
        return Bodies(http, {"secret": KEY, "headers": {"Authorization": "Bearer canary-token"}})


class TestWebhookByTemplate(TestWebhook):
    @pytest.fixture
    def server(self, http: HttpServer) -> Server:
        return Bodies(http, {"body": '{"said": {{ text | tojson }}, "message": {{ message | '
                                     'default("") | tojson }}}'})  # fmt: skip


class TestSlack(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Slack

    @pytest.fixture
    def server(self, http: HttpServer) -> Server:
        return Bodies(http, {})


async def shipped(plugin: Plugin, *signals: Any) -> None:
    try:
        await plugin.ship(signals)
    finally:
        await plugin.close()


async def test_a_receiver_can_verify_what_came(http: HttpServer) -> None:
    await shipped(Webhook("w", Webhook.Config(url=http.url, secret=KEY)), signal("events", 1))
    (asked,) = http.accepted
    told = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode()
    wanted = hmac.new(KEY.encode(), told + asked.body, hashlib.sha256).digest()
    assert asked.headers["webhook-signature"] == f"v1,{base64.b64encode(wanted).decode()}"
    plain = hmac.new(KEY.encode(), asked.body, hashlib.sha256).hexdigest()
    assert asked.headers["X-Hub-Signature-256"] == f"sha256={plain}"


@pytest.mark.parametrize(
    ("status", "is_final", "after"), [(400, True, 0.0), (404, False, 0.0), (429, False, 7.0)]
)
async def test_what_an_answer_means(
    http: HttpServer, status: int, is_final: bool, after: float
) -> None:
    http.status, http.headers = status, {"Retry-After": "7"} if after else {}
    with pytest.raises(PluginError) as refused:
        await shipped(Webhook("w", Webhook.Config(url=http.url)), signal("events", 1))
    assert (refused.value.is_final, refused.value.after) == (is_final, after)
    assert str(status) in str(refused.value)


async def test_nobody_who_answers_is_told_without_the_secret_in_the_url() -> None:
    config = Webhook.Config(url="http://127.0.0.1:1/canary-path?token=canary-token")
    with pytest.raises(PluginError, match=r"^http://127\.0\.0\.1:1: ") as refused:
        await shipped(Webhook("w", config), signal("events", 1))
    assert "canary" not in "".join(traceback.format_exception(refused.value))


async def test_no_redirect_is_followed(http: HttpServer) -> None:
    http.status, http.headers = 307, {"Location": "http://127.0.0.1:9/"}
    with pytest.raises(PluginError, match="redirects"):
        await shipped(Webhook("w", Webhook.Config(url=http.url)), signal("events", 1))


async def test_a_channel_mentions_nobody_for_an_app(http: HttpServer) -> None:
    said = hostile("events", "<!channel> & <https://evil.example|click>\nsecond line")
    await shipped(Slack("s", Slack.Config(url=http.url)), said)
    text = json.loads(http.accepted[0].body)["text"]
    assert "&lt;!channel&gt; &amp; &lt;https" in text
    assert "<" not in text
    assert "\n" not in text


async def test_a_line_as_somebody_wants_it(http: HttpServer) -> None:
    config = Slack.Config(url=http.url, text="{{ app }}: {{ message }}", channel="#deploys")
    await shipped(Slack("s", config), signal("events", 1))
    assert json.loads(http.accepted[0].body) == {
        "text": "shop: law1mark serves",
        "channel": "#deploys",
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"url": "canary.example"}, "begins with https"),
        ({"url": "http://x", "body": "{% for %}"}, "a template such as"),
        ({"url": "http://x", "headers": {"a b": "c"}}, "the name of a header"),
        ({"url": "http://x", "headers": {"A": "canary\r\nB: c"}}, "one line of ASCII"),
    ],
)
def test_what_is_wrong_with_a_config(config: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        Webhook.Config.model_validate(config)
    assert "canary" not in str(refused.value)


async def test_a_template_reaches_nothing(http: HttpServer) -> None:
    body = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(PluginError, match="template") as refused:
        await shipped(Webhook("w", Webhook.Config(url=http.url, body=body)), signal("events", 1))
    assert refused.value.is_final
