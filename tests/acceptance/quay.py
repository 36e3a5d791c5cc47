"""Every plugin's real counterpart, beside a daemon that ships to all of them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from acceptance.steer import EXAMPLES, Document, Steer
from acceptance.wires import WITHIN, Carbon, MuninMaster, PrometheusServer, StatsdServer, running
from lab.commands import wait_until
from plugin_lab import Asked, HttpServer
from plugin_lab.decoding import PROJECT, events_in, read_otlp
from transport_lab import free_port

PLUGINS = EXAMPLES / "plugins"
TOKEN, KEY = "s3cret-of-prometheus", "s3cret-of-the-hook"


@dataclass
class Quay:
    """Who is shipped to; `arrivals` are the times at which envelopes came to Sentry."""

    folder: Path
    http: HttpServer
    hooks: list[HttpServer]
    """Who the webhook was answered by, one after the other."""
    statsd: StatsdServer
    carbon: Carbon
    prometheus: PrometheusServer
    metrics_port: int
    munin: MuninMaster
    munin_port: int
    arrivals: list[float] = field(default_factory=list)

    @property
    def jsonl(self) -> Path:
        return self.folder / "signals.jsonl"

    @property
    def env(self) -> dict[str, str]:
        """Return what the examples take from the environment."""
        return {
            "SENTRY_DSN": f"http://0123456789abcdef@{self.http.netloc}/42",
            "WEBHOOK_KEY": KEY,
            "SLACK_URL": f"{self.http.url}/slack",
            "PROMETHEUS_TOKEN": TOKEN,
        }

    def manifests(self) -> list[Document]:
        """Return the examples of all types, led to here."""
        here: dict[str, dict[str, Any]] = {
            "otlp": {"endpoint": self.http.url},
            "webhook": {"url": f"{self.hooks[0].url}/hook"},
            "jsonl": {"path": str(self.jsonl)},
            "statsd": {"address": f"127.0.0.1:{self.statsd.port}"},
            "graphite": {"address": f"127.0.0.1:{self.carbon.port}"},
            "prometheus": {"address": f"127.0.0.1:{self.metrics_port}"},
            "munin": {"address": f"127.0.0.1:{self.munin_port}"},
        }
        documents = [
            each for file in sorted(PLUGINS.glob("*.yaml"))
            for each in yaml.safe_load_all(file.read_text())
        ]  # fmt: skip
        for each in documents:
            if each["kind"] == "Plugin":
                each["spec"]["config"] |= here.get(each["spec"]["type"], {})
        return documents

    def signals(self, kind: str) -> list[dict[str, Any]]:
        """Return the signals of a kind in the file so far."""
        # The last line may be half written.
        lines = self.jsonl.read_text().split("\n")[:-1] if self.jsonl.exists() else []
        return [each for each in map(json.loads, lines) if each["signal"] == kind]

    def posted(self, path: str) -> list[Asked]:
        return [each for each in tuple(self.http.accepted) if each.path == path]

    def hooked(self) -> list[dict[str, Any]]:
        """Return the signals that webhooks were sent."""
        bodies = [json.loads(each.body) for hook in self.hooks for each in tuple(hook.accepted)]
        return [each for body in bodies for each in body.get("signals", ())]

    def noticed(self) -> str:
        """Return the notices in the channel."""
        return "\n".join(json.loads(each.body)["text"] for each in self.posted("/slack"))

    def spans(self) -> list[Any]:
        """Return the spans that the collector has."""
        return [
            span
            for asked in self.posted("/v1/traces")
            for resource in read_otlp(asked).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def latencies(self, app: str, last: str, count: int) -> list[float]:
        """Return how long after the last lines of tracebacks their events came to Sentry."""

        def told() -> list[float]:
            return [each["time"] for each in self.signals("logs") if each["text"] == last]

        wait_until(lambda: len(told()) >= count, "the lines in the file")
        came = [
            at for at, event in zip(self.arrivals, events_in(self.http), strict=False)
            if event["tags"].get("app") == app
        ]  # fmt: skip
        return [arrived - said for said, arrived in zip(told()[:count], came, strict=False)]

    def scraped(self, query: str) -> float:
        """Return the largest value that Prometheus has for a query, -1 where it has none."""
        answer = httpx.get(self.prometheus.url("query"), params={"query": query}, timeout=WITHIN)
        return max((value for _, value in self.prometheus.found(answer)), default=-1.0)

    async def received(self) -> dict[str, bytes]:
        """Return everything that every counterpart has, by who has it."""
        asked = {
            "sentry": self.posted(PROJECT),
            "slack": self.posted("/slack"),
            "otlp": [each for each in self.http.accepted if each.path.startswith("/v1/")],
            **{f"hook{number}": hook.accepted for number, hook in enumerate(self.hooks)},
        }
        found = {
            name: b"\n".join(repr(dict(each.headers)).encode() + each.body for each in bodies)
            for name, bodies in asked.items()
        }
        counted = [await self.statsd.ask(what) for what in ("counters", "gauges", "timers")]
        found["statsd"] = "".join(counted).encode()
        found["scraped"] = shown(self.metrics_port, TOKEN)
        for folder in (self.folder, self.munin.folder):
            found |= {path: path.encode() + data for path, data in contents(folder).items()}
        return found


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is below a folder: files with what they hold, but for those that go meanwhile."""
    found: dict[str, bytes] = {}
    for top, folders, files in os.walk(folder):
        for path in (Path(top, name) for name in (*folders, *files)):
            with suppress(FileNotFoundError):
                found[str(path)] = path.read_bytes() if path.is_file() else b""
    return found


def shown(port: int, token: str) -> bytes:
    """Return what /metrics says, with its head."""
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN) as link:
        head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        link.sendall(head.encode())
        return b"".join(iter(lambda: link.recv(65536), b""))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return False
    return True


@contextmanager
def quay(folder: Path) -> Iterator[Quay]:
    """Run every counterpart while the body does."""
    with ExitStack() as stack:
        metrics, node = free_port(), free_port()
        made = Quay(
            folder,
            stack.enter_context(HttpServer()),
            # It goes away and comes back on its port, which must be nobody else's meanwhile.
            [stack.enter_context(HttpServer(free_port()))],
            StatsdServer(folder),
            Carbon(folder),
            PrometheusServer(folder),
            metrics,
            MuninMaster(node, ["steersman", "h1", "h2"]),
            node,
        )
        stack.callback(made.munin.remove)
        made.http.on_ask = lambda asked: (
            made.arrivals.append(time.time()) if asked.path == PROJECT else None
        )
        for server, words, port in (
            (made.statsd, made.statsd.words(), made.statsd.management),
            (made.carbon, made.carbon.words(), made.carbon.port),
            (made.prometheus, made.prometheus.words(metrics, TOKEN), made.prometheus.port),
        ):
            stack.enter_context(running(words, server.log, GOMAXPROCS="1"))
            wait_until(lambda port=port: accepts(port), f"a port of {server.log.name}")  # type: ignore[misc]
        yield made


def ask(steer: Steer, method: str, path: str) -> list[dict[str, Any]]:
    """Return the lines that the daemon's API answers, each an object."""
    door = Path(steer.env["XDG_STATE_HOME"], "steersman", "steer.sock")
    transport = httpx.HTTPTransport(uds=str(door))
    with httpx.Client(transport=transport, base_url="http://x/apis/steersman/v1") as client:
        answer = client.request(method, path, json={} if method == "POST" else None, timeout=120)
    return [json.loads(line) for line in answer.text.splitlines()]


def probe(steer: Steer, name: str) -> dict[str, str]:
    """Return what became of each kind of probe of a plugin: "" where it was shipped."""
    outcome = next(one for one in ask(steer, "POST", f"/plugins/{name}/probe") if "outcome" in one)
    return {each["signal"]: each["error"] for each in outcome["outcome"]}


def ready(steer: Steer) -> dict[str, tuple[str, str, str]]:
    """Return how each plugin stands: its Ready condition's status, reason and message."""
    (listed,) = ask(steer, "GET", "/plugins")
    return {
        each["metadata"]["name"]: (one["status"], one["reason"], one.get("message", ""))
        for each in listed["items"]
        for one in each.get("status", {}).get("conditions", ())
        if one["type"] == "Ready"
    }


def is_all_ready(steer: Steer) -> bool:
    found = ready(steer)
    return len(found) == 9 and {status for status, _, _ in found.values()} == {"True"}
