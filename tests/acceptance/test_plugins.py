"""What apps on real hosts say and suffer arrives in every plugin's real counterpart, unsecret."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acceptance.canary import canary, document, needles
from acceptance.daemon import Daemon, serving
from acceptance.quay import Quay, ask, contents, is_all_ready, probe, quay, ready
from acceptance.steer import EXAMPLES, Document, Repo, Steer, app, example
from acceptance.web import get
from acceptance.wires import until
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from plugin_lab import HttpServer
from plugin_lab.decoding import events_in, frame_of, read_otlp
from steersman.api.secret import MASK

pytestmark = pytest.mark.lab

SHOP = EXAMPLES / "watched-shop/src"
PARROT = (Path(__file__).parent / "parrot/parrot.py").read_text()
SITE = "shop.example.com"
FAILS = "say_all()\nraise SystemExit(3)\n"
PROBE = "steersman-probe"
MASKED = (MASK.encode(), json.dumps(MASK)[1:-1].encode(), b"eaten__secret_")
SAID = {
    "sentry": b"no cracker for ",
    "otlp": b"paid by ",
    "slack": b" parrot",
    "hook0": b"no cracker for ",
    "statsd": b"eaten_",
    "scraped": b"eaten_",
}
"""What of the parrot's has arrived at whom, beside its secrets."""
ASKED = 5
GENEROUS = 30.0
"""Seconds; a second is meant, and what it took is shown."""

Event = dict[str, Any]


@dataclass
class Scene:
    """Two apps on h1, the daemon that watches them, and whom it ships to."""

    steer: Steer
    daemon: Daemon
    quay: Quay
    host: Host
    commit: str
    parrots: Repo
    secret: str
    literal: str

    @property
    def env(self) -> dict[str, str]:
        return {"PARROT_TOKEN": self.secret, "LITERAL": self.literal}

    def events(self, app: str, kind: str) -> list[Event]:
        """Return what Sentry was told of an app's errors of a kind."""
        wanted, found = {"app": app, "kind": kind}, events_in(self.quay.http)
        return [each for each in found if each["tags"].items() >= wanted.items()]

    def fail(self, mark: str) -> None:
        assert get(self.host, SITE, f"/cart?{mark}").status == 500

    def heard(self, mark: str) -> Event:
        """Return what Sentry is told of one more error."""
        before = len(self.events("shop", "exception"))
        self.fail(mark)
        wait_until(lambda: len(self.events("shop", "exception")) > before, "the error in Sentry")
        return self.events("shop", "exception")[-1]


@pytest.fixture(scope="module")
def scene(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    steer, host, folder = new_steer(), hosts.hosts[0], tmp_path_factory.mktemp("plugins")
    shops, secret, literal = Repo(folder / "shop", SHOP), canary(), canary()
    commit = shops.commit({})
    source = PARROT.replace('"@LITERAL@"', repr(literal))
    parrots = Repo(folder / "parrot", {"parrot.py": source, "requirements.txt": ""})
    shop, _ = example("watched-shop", shops)
    shop["spec"]["placement"] = {"hosts": [host.name]}
    counterparts = folder / "quay"
    counterparts.mkdir()
    with quay(counterparts) as made, serving(steer) as daemon:
        given = steer.hosts(*hosts.hosts[:2])
        steer.apply(*given, *made.manifests(), expect=0, **made.env)
        wait_until(lambda: is_all_ready(steer), "every plugin being ready")
        found = Scene(steer, daemon, made, host, commit, parrots, secret, literal)
        steer.apply(*parrot_on(host, parrots), shop, expect=0, **found.env)
        yield found


def parrot_on(host: Host, repo: Repo) -> list[Document]:
    """Return the app that says its secrets, and the Secret."""
    data = {"PARROT_TOKEN": {"fromEnv": "PARROT_TOKEN"}, "LITERAL": {"fromEnv": "LITERAL"}}
    parrot = app(
        "parrot",
        repo,
        processes={"worker": {"command": "python parrot.py"}},
        config={"secrets": ["parrot"]},
        routes=[],
        placement={"hosts": [host.name]},
        rollout={"minReadySeconds": 0},
    )
    return [document("Secret", "parrot", data=data), parrot]


async def test_1_every_plugin_is_ready_and_a_probe_arrives(scene: Scene) -> None:
    names = sorted(ready(scene.steer))
    for name in names:
        probed = probe(scene.steer, name)
        assert probed and set(probed.values()) == {""}, f"{name}: {probed}"
    # The one that is polled from a port cannot be tried beside itself.
    assert "metrics: shipped in" in scene.steer.run("plugin", "test", "prometheus").out
    rows = [line.split() for line in scene.steer.run("get", "plugins").out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [[name, name, "Ready"] for name in names]
    assert scene.events(PROBE, "exception")
    await scene.quay.statsd.wait_for("prod.steersman_probe.steersman-probe.statsd': 1", "gauges")


def test_2_an_uninstrumented_apps_error_arrives_with_its_source_line(
    scene: Scene, say: Callable[[str], None]
) -> None:
    heard = [scene.heard(f"order={number}") for number in range(ASKED)]

    def has_source() -> bool:
        # Without it they leave where a busy host was late with it, for half a minute.
        heard.append(scene.heard("order=again"))
        return bool(frame_of(heard[-1], "total")["pre_context"])

    wait_until(has_source, "an error with the source around its lines")
    event = heard[-1]
    raised, frame = event["exception"]["values"][-1], frame_of(event, "total")
    source = (SHOP / "shop.py").read_text().splitlines()
    line = frame["lineno"] - 1
    assert (raised["type"], raised["value"]) == ("KeyError", "'sail'")
    assert (frame["filename"], frame["in_app"]) == ("shop.py", True)
    assert frame["context_line"] == source[line]
    assert "PRICES[name]" in source[line]
    assert frame["pre_context"] == source[line - 5 : line]
    assert frame["post_context"] == source[line + 1 : line + 6]
    assert (event["release"], event["server_name"]) == (f"shop@1+{scene.commit[:12]}", "h1")
    assert (event["tags"]["commit"], event["tags"]["process"]) == (scene.commit, "web")
    crumbs = [each["message"] for each in event["breadcrumbs"]["values"]]
    assert "asked for /cart" in crumbs
    took = scene.quay.latencies("shop", "KeyError: 'sail'", ASKED)
    say(
        f"an error is in Sentry {statistics.median(took):.2f} s after its traceback's last line,"
        f" at most {max(took):.2f} s ({len(took)} errors)"
    )
    assert max(took) < GENEROUS


def test_3_a_crash_and_a_failed_rollout_arrive(scene: Scene) -> None:
    unit = "steersman-shop.web.g1@1.service"
    scene.host.run(["systemctl", "kill", "--signal=SEGV", "--kill-whom=main", unit])
    wait_until(lambda: bool(scene.events("shop", "crash")), "the crash in Sentry")
    (crash,) = scene.events("shop", "crash")
    assert crash["contexts"]["exit"]["signal"] == "SIGSEGV"
    assert crash["release"] == f"shop@1+{scene.commit[:12]}"
    source = (scene.parrots.path / "parrot.py").read_text()
    scene.parrots.commit({"parrot.py": source.replace("say_all()\ncount()\n", FAILS)})
    failed = scene.steer.run("apply", "-f", "applied.yaml", expect=1, env=scene.env)
    assert "was rejected" in failed.err
    wait_until(lambda: bool(scene.events("parrot", "rollout-failed")), "the rollout in Sentry")
    (event,) = scene.events("parrot", "rollout-failed")
    assert "exits again and again" in event["logentry"]["formatted"]
    # Errors and events are shipped apart: either may come first.
    notices = ("*Deployed* app/shop", "ReleaseRejected", ":red_circle: *rollout-failed* parrot")
    wait_until(lambda: all(each in scene.quay.noticed() for each in notices), "the notices")


async def test_4_metrics_of_hosts_processes_and_routes_arrive(scene: Scene) -> None:
    quay = scene.quay
    memory = "steersman_process_resident_bytes"
    wanted = {
        f'{memory}{{app="shop",process="web",host="h1"}}': 1e6,
        'steersman_route_requests_total{app="shop",code="500"}': ASKED,
        'steersman_host_memory_bytes{host="h2",state="total"}': 1e6,
        'crackers_total{app="parrot",kind="plain"}': 1,
        "steersman_probe": 1,
    }
    for query, least in wanted.items():
        wait_until(lambda q=query, n=least: quay.scraped(q) >= n, query)  # type: ignore[misc]
    files = quay.carbon.files
    wait_until(lambda: any(f"apps/shop/{memory}/h1/web" in file for file in files()), "carbon")
    file = next(file for file in files() if f"apps/shop/{memory}/h1/web" in file)
    wait_until(lambda: quay.carbon.points(file, 0)[-1:] > [1e6], "points in whisper")
    await quay.statsd.wait_for(f"'prod.{memory}.h1.shop.web.1.1'", "gauges")
    await quay.statsd.wait_for("'prod.steersman_route_requests_total.", "counters")
    assert "'statsd.bad_lines_seen': 0" in await quay.statsd.ask("counters")
    await quay.munin.update()
    assert quay.munin.complaints() == []
    seen = quay.munin.values()
    assert float(seen["steersman-app_memory-shop-web-g"]) > 1e6
    assert {"h1-host_load_h1-load-g", "h2-host_load_h2-load-g"} <= seen.keys()


def test_5_logs_events_and_a_rollouts_trace_arrive(scene: Scene) -> None:
    quay = scene.quay
    wait_until(lambda: bool(roots(scene)), "the rollout's trace")
    (root, *_) = roots(scene)
    below = [each for each in scene.quay.spans() if each.trace_id == root.trace_id]
    (host,) = [each for each in below if each.parent_span_id == root.span_id]
    steps = [each for each in below if each.parent_span_id == host.span_id]
    assert len(steps) > 5
    measured = {
        metric.name
        for asked in quay.posted("/v1/metrics")
        for resource in read_otlp(asked).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {
        "steersman_process_resident_bytes",
        "crackers_total",
        "steersman_host_load1",
    } <= measured
    texts = b"".join(each.body for each in quay.posted("/v1/logs"))
    assert b"asked for /cart" in texts and b"KeyError: 'sail'" in texts
    told = [each for each in quay.hooked() if each["origin"]["app"] != PROBE]
    assert {each["signal"] for each in told} == {"logs", "errors", "events"}
    levels = {each["level"] for each in told if each["signal"] == "logs"}
    assert levels <= {"warning", "error", "critical"}
    for kind in ("logs", "errors", "metrics", "events", "traces"):
        assert quay.signals(kind), kind


def roots(scene: Scene) -> list[Any]:
    return [e for e in scene.quay.spans() if not e.parent_span_id and e.name == "rollout shop 1"]


def test_6_who_goes_away_is_said_and_nothing_is_lost(scene: Scene) -> None:
    (hook,) = scene.quay.hooks
    port = int(hook.netloc.rpartition(":")[2])
    hook.__exit__()
    scene.fail("away=0")
    wait_until(lambda: ready(scene.steer)["webhook"][0] == "False", "the plugin to say so")
    _, reason, message = ready(scene.steer)["webhook"]
    assert (reason, hook.netloc in message) == ("NotShipping", True), message
    for number in range(1, 4):
        scene.fail(f"away={number}")
    wanted = {f"away={number}" for number in range(4)}
    with HttpServer(port) as again:
        scene.quay.hooks.append(again)
        wait_until(lambda: wanted <= marks(scene), "what was said meanwhile")
        wait_until(lambda: is_all_ready(scene.steer), "the plugin to be ready again")
    (hooked,) = ask(scene.steer, "GET", "/plugins/webhook")
    assert hooked["status"].get("dropped", 0) == 0


def marks(scene: Scene) -> set[str]:
    texts = [each.get("text", "") for each in scene.quay.hooked()]
    return {text.rpartition("?")[2] for text in texts if "/cart?away=" in text}


async def test_7_nobody_was_sent_a_secret(scene: Scene) -> None:
    """Each of these was said in a line, a traceback, its locals, a source line, a URL or a tag."""
    scene.fail(f"token={scene.secret.encode().hex()}")
    state = scene.steer.folder / "state"
    received: dict[str, bytes] = {}
    said = {**SAID, str(scene.quay.jsonl): b"paid by "}

    async def has_heard_all() -> bool:
        received.update(await scene.quay.received())
        return all(mark in received[name] for name, mark in said.items())

    await until(has_heard_all, lambda: str(said.keys()))
    received |= contents(state)
    received["log"] = scene.daemon.said().encode()
    wanted = [*needles(scene.secret), *needles(scene.literal)]
    found = {
        (name, needle, around(data, needle))
        for name, data in received.items()
        for needle in wanted
        if needle in data
    }
    assert found == set()
    for name in said:
        assert any(each in received[name] for each in MASKED), name


def around(data: bytes, needle: bytes) -> bytes:
    at = data.index(needle)
    return data[max(0, at - 100) : at + len(needle) + 40]
