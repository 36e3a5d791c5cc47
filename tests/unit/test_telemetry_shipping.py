"""Plugin objects ship through processes of their own; whatever these do concerns nobody else."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.api.plugin import Plugin, PluginStatus
from steersman.api.secret import Secret
from steersman.control.memory import Memory
from steersman.control.vault import Vault
from steersman.sealing.keyring import Keyring
from steersman.store.sqlite import SqliteStore
from steersman.telemetry import shipping
from steersman.telemetry.hub import Hub
from steersman.telemetry.shipping import Shipping
from steersman.testing.signals import signal
from transport_lab import free_port

WITHIN = 60
"""Seconds that anything may take on a machine that is busy with other tests."""
HASTY = "200ms"
"""How long one is waited for that hangs."""

BAD = '''
import asyncio, os, sys, time
from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError

class Bad(Plugin):
    """Does what no plugin should."""
    takes = frozenset({"events", "logs"})

    class Config(Model):
        how: str
        token: str = ""

    async def ship(self, batch):
        how = self.config.how
        if how == "sleep":
            time.sleep(1000)
        if how == "wait":
            await asyncio.sleep(1000)
        if how == "spin":
            while True:
                pass
        if how == "exit":
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        if how == "print":
            print("x" * 100000, flush=True)
        if how == "raise":
            raise ValueError(f"no {self.config.token}")
        if how == "final":
            raise PluginError("nobody wants these", is_final=True)

    @property
    def dropped(self):
        return 3 if self.config.how == "drop" else 0
'''


class Yard:
    """A store with a vault, and what ships from it."""

    def __init__(self, store: SqliteStore, folder: Path) -> None:
        self.memory, self.hub = Memory(store), Hub()
        self.vault = Vault(self.memory, Keyring(folder / "key.txt"))
        self.shipping = Shipping(self.memory, self.vault, self.hub, least=0.01, closing=WITHIN)

    async def put(self, name: str = "p", **spec: Any) -> None:
        spec.setdefault("buffer", {"wait": 0})
        data = {"metadata": {"name": name}, "spec": spec}
        await self.memory.put(Plugin.model_validate(data))

    async def status(self, name: str, is_so: Callable[[PluginStatus], bool]) -> PluginStatus:
        """Wait until a plugin's status is so, and return it."""
        revision = await self.memory.store.revision()
        async with asyncio.timeout(WITHIN), aclosing(self.memory.store.watch(revision)) as changes:
            while not is_so(seen := await self._seen(name)):
                await anext(changes)
        return seen

    async def _seen(self, name: str) -> PluginStatus:
        found = await self.memory.find("Plugin", name)
        assert isinstance(found, Plugin)
        return found.status

    @asynccontextmanager
    async def ready(self, *names: str) -> AsyncIterator[None]:
        async with self.shipping.running():
            for name in names or ("p",):
                await self.status(name, lambda status: bool(status.signals))
            yield


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Yard]:
    monkeypatch.setattr(shipping, "REPORT", 0.1)
    async with SqliteStore(tmp_path / "state") as store:
        yield Yard(store, tmp_path)


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with the plugin type `bad`, on sys.path."""
    site = tmp_path / "site"
    info = site / "bad_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "bad_plugin.py").write_text(textwrap.dedent(BAD))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[steersman.plugins]\nbad = bad_plugin:Bad\n")
    monkeypatch.syspath_prepend(str(site))
    assert str(site) in sys.path


def condition(status: PluginStatus) -> tuple[str, str, str]:
    (ready,) = status.conditions
    return ready.status, ready.reason, ready.message


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_what_is_published_arrives_as_it_was_selected(yard: Yard, tmp_path: Path) -> None:
    out = tmp_path / "out"
    select = {"apps": ["shop"], "level": "info", "reasons": ["Deployed"]}
    config = {"path": str(out)}
    await yard.put(type="jsonl", signals=["events", "logs"], select=select, config=config)
    await yard.memory.store.put(
        {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": "shop"}, "spec": {}}
    )
    async with yard.ready():
        for name in ("events", "logs", "metrics", "errors"):
            yard.hub.publish(signal(name, 1))
        status = await yard.status("p", lambda status: status.shipped > 0)
    assert [each["signal"] for each in read(out)] == ["events", "logs"]
    assert condition(status) == ("True", "Shipping", "")
    assert status.last_success is not None


@pytest.mark.usefixtures("bad")
async def test_what_a_plugin_lets_go_is_counted_once(yard: Yard) -> None:
    await yard.put(type="bad", config={"how": "drop"}, buffer={"batch": 1})
    async with yard.ready():
        for number in (1, 2):
            yard.hub.publish(signal("events", number))
        status = await yard.status("p", lambda status: status.shipped == 2)
    assert status.dropped == 3


async def test_the_first_leaves_at_once_and_what_waits_at_the_end(
    yard: Yard, tmp_path: Path
) -> None:
    out, buffer = tmp_path / "out", {"wait": "10m"}
    await yard.put(type="jsonl", config={"path": str(out)}, buffer=buffer)
    async with yard.ready():
        yard.hub.publish(signal("events", 1))
        await yard.status("p", lambda status: status.shipped == 1)
        yard.hub.publish(signal("events", 2))
    assert [each["message"] for each in read(out)] == ["law1mark serves", "law2mark serves"]


async def test_a_probe_goes_by_the_plugin_at_work(yard: Yard) -> None:
    port = free_port()
    await yard.put(type="prometheus", config={"address": f"127.0.0.1:{port}"})
    async with yard.ready():
        probed = await yard.shipping.probe("p")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        shown = await reader.read()
        writer.close()
    assert probed is not None
    assert [(each.signal, each.error) for each in probed] == [("metrics", "")]
    assert b'steersman_probe{app="steersman-probe",plugin="p"} 1' in shown
    assert await yard.shipping.probe("p") is None


@pytest.mark.usefixtures("bad")
async def test_a_probe_says_what_is_wrong_with_the_plugin_at_work(yard: Yard) -> None:
    await yard.put(type="bad", config={"how": "final"})
    await yard.put("hung", type="bad", config={"how": "wait"}, timeout=HASTY)
    async with yard.ready("p", "hung"):
        probed, hung = await yard.shipping.probe("p"), await yard.shipping.probe("hung")
        await yard.status("hung", lambda status: condition(status)[1] == "Fault")
    assert probed is not None and hung is not None
    assert [each.error for each in probed] == ["nobody wants these"] * 2
    assert "no answer to 'ship' within 0.2 s" in hung[0].error
    assert "begins anew" in hung[1].error


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize(
    ("how", "timeout", "reason", "said"),
    [
        ("sleep", HASTY, "Fault", "no answer to 'ship' within 0.2 s"),
        ("wait", HASTY, "Fault", "no answer to 'ship' within 0.2 s"),
        ("spin", HASTY, "Fault", "no answer to 'ship' within 0.2 s"),
        ("exit", "1m", "Fault", "its process ended: last words"),
        ("raise", "1m", "Fault", "ValueError: no «secret»"),
        ("final", "1m", "NotShipping", "nobody wants these"),
    ],
)
async def test_a_bad_plugin_is_told_and_disturbs_nobody(
    yard: Yard, tmp_path: Path, how: str, timeout: str, reason: str, said: str
) -> None:
    out = tmp_path / "out"
    data = {"metadata": {"name": "s"}, "spec": {"data": {"TOKEN": {"value": "hunter2-canary"}}}}
    secret = Secret.model_validate(data)
    await yard.vault.put(secret, secret.given())
    token = {"secret": "s", "key": "TOKEN"}
    await yard.put("p", type="bad", config={"how": how, "token": token}, timeout=timeout)
    await yard.put("good", type="jsonl", config={"path": str(out)})
    async with yard.ready("p", "good"):
        yard.hub.publish(signal("events", 1))
        status = await yard.status("p", lambda status: condition(status)[0] == "False")
        await yard.status("good", lambda status: status.shipped == 1)
    assert condition(status) == ("False", reason, said)
    assert status.last_error == said
    assert "hunter2" not in json.dumps([s.object for s in (await yard.memory.store.page()).items])


@pytest.mark.usefixtures("bad")
async def test_what_a_plugin_prints_is_no_answer(yard: Yard) -> None:
    await yard.put(type="bad", config={"how": "print"})
    async with yard.ready():
        yard.hub.publish(signal("events", 1))
        status = await yard.status("p", lambda status: status.last_success is not None)
    assert condition(status)[:2] == ("True", "Shipping")


@pytest.mark.usefixtures("bad")
async def test_a_flood_has_the_oldest_dropped_and_counted(yard: Yard) -> None:
    buffer = {"signals": 10, "batch": 5, "wait": 0}
    await yard.put(type="bad", config={"how": "wait"}, buffer=buffer, timeout="10m")
    # One that hangs is not waited for when all ends.
    yard.shipping._closing = 0.1
    async with yard.ready():
        for number in range(5):
            yard.hub.publish(signal("events", number))
        await asyncio.sleep(0)
        for number in range(100):
            yard.hub.publish(signal("events", number))
        (_, shipper, _) = yard.shipping._running["p"]
        assert len(shipper.waiting) == 10
        assert shipper.waiting.dropped >= 90
    status = await yard.status("p", lambda status: status.dropped > 0)
    assert status.dropped == shipper.waiting.dropped


async def test_another_spec_begins_anew_with_what_waited(yard: Yard, tmp_path: Path) -> None:
    gone, out = tmp_path / "gone" / "out", tmp_path / "out"
    await yard.put(type="jsonl", config={"path": str(gone)})
    async with yard.ready():
        yard.hub.publish(signal("events", 1))
        status = await yard.status("p", lambda status: condition(status)[0] == "False")
        assert "No such file" in condition(status)[2]
        await yard.put(type="jsonl", config={"path": str(out)})
        await yard.status("p", lambda status: condition(status)[:2] == ("True", "Shipping"))
    assert len(read(out)) == 1


async def test_another_value_of_a_secret_begins_anew(yard: Yard, tmp_path: Path) -> None:
    async def keep(path: Path) -> None:
        data = {"metadata": {"name": "s"}, "spec": {"data": {"PATH": {"value": str(path)}}}}
        secret = Secret.model_validate(data)
        await yard.vault.put(secret, secret.given())

    await keep(tmp_path / "first")
    await yard.put(type="jsonl", config={"path": {"secret": "s", "key": "PATH"}})
    async with yard.ready():
        yard.hub.publish(signal("events", 1))
        await yard.status("p", lambda status: status.shipped == 1)
        await keep(tmp_path / "second")
        await yard.status("p", lambda status: status.shipped == 0)
        yard.hub.publish(signal("events", 2))
        await yard.status("p", lambda status: status.shipped == 1)
    assert [each["message"] for each in read(tmp_path / "second")] == ["law2mark serves"]


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        ({"type": "jsonn"}, "NotInstalled", "did you mean jsonl?"),
        ({"type": "jsonl"}, "NotShipping", "config.path: Field required"),
        (
            {"type": "jsonl", "config": {"path": {"secret": "lost", "key": "PATH"}}},
            "NotStarted",
            "secret lost is not known",
        ),
    ],
)
async def test_what_cannot_start_says_why(
    yard: Yard, spec: dict[str, Any], reason: str, said: str
) -> None:
    await yard.put(**spec)
    async with yard.shipping.running():
        status = await yard.status("p", lambda s: bool(s.conditions) and s.last_error is not None)
    assert condition(status)[:2] == ("False", reason)
    assert said in condition(status)[2]
