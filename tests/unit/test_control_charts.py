"""Installations of charts over the real controller, with fake hosts under it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from laws.fake_host import FakeHost
from laws.fleet import Fleet, controller
from steersman.api.installation import ChartVersion, RenderedManifest
from steersman.charting.problems import ChartErrors
from steersman.charting.render import objects_in
from steersman.control.apply import Controller
from steersman.control.charts import Charts, Done, Installed, NotOurs, Wish
from steersman.control.installations import DEAD_AFTER, KEPT, Installations, NotInstalled, UnderWay
from steersman.control.secrets import SecretReader
from steersman.manifests import Text, load_texts
from steersman.planning.inventory import INVENTORY
from steersman.sealing.keyring import Keyring
from steersman.store.errors import Conflict
from steersman.store.sqlite import SqliteStore

HOST = """
apiVersion: steersman/v1
kind: Host
metadata: {name: h1}
spec: {address: h1.example.com}
"""


def app(code: str = "good") -> str:
    return f"""
apiVersion: steersman/v1
kind: App
metadata: {{name: shop}}
spec:
  source: {{path: /{code}}}
  processes: {{web: {{command: run, port: http}}}}
"""


def secret(name: str = "token", annotations: str = "") -> str:
    return f"""
apiVersion: steersman/v1
kind: Secret
metadata: {{name: {name}, annotations: {{{annotations}}}}}
spec: {{data: {{TOKEN: {{fromEnv: TOKEN}}}}}}
"""


@dataclass
class World:
    """A store and hosts, and a person with charts."""

    store: SqliteStore
    hands: Controller
    folder: Path
    fleet: Fleet
    environ: dict[str, str] = field(default_factory=lambda: {"TOKEN": "hunter2-hunter2"})

    @property
    def charts(self) -> Charts:
        keys = Keyring(self.folder / "no.key")
        return Charts(self.store, self.hands, SecretReader(keys, self.environ).read)

    def wish(self, revision: int, *texts: str, **values: object) -> Wish:
        manifests = tuple(
            RenderedManifest(template=f"{number}.yaml", text=text)
            for number, text in enumerate(texts)
        )
        texts_ = [Text(each.template, self.folder, each.text) for each in manifests]
        return Wish(
            name="shop", revision=revision, chart=ChartVersion(name="c", version="1.0.0"),
            values=values, manifests=manifests, objects=objects_in("c", texts_).objects,
            base_dir=self.folder, description=f"try {revision}",
        )  # fmt: skip

    async def put(self, revision: int, *texts: str, **options: Any) -> Done:
        return await self.charts.put(self.wish(revision, *texts), **options)

    async def history(self) -> list[tuple[int, str, str]]:
        found = await Installations(self.store).history("shop")
        return [(each.spec.revision, each.status.state, each.spec.description) for each in found]

    async def states(self) -> list[str]:
        return [state for _, state, _ in await self.history()]

    async def there(self) -> list[str]:
        """Return what is there: the code of the app, as its host has it, and the Secrets."""
        stored = await self.store.list("App")
        host = self.fleet.hosts["h1"].seen()
        assert bool(host.apps) == bool(stored)
        serving = self.fleet.hosts["h1"].serving()
        codes = [self.fleet.contents[str(number)] for number in serving]
        return [*codes, *(each.name for each in await self.store.list("Secret"))]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    fleet = Fleet({"h1": FakeHost()})
    async with SqliteStore(tmp_path / "state") as store:
        hands, _ = controller(fleet, store)
        await hands.apply(load_texts([Text("host.yaml", tmp_path, HOST)]).objects)
        yield World(store, hands, tmp_path, fleet)


async def test_an_upgrade_prunes_and_supersedes(world: World) -> None:
    assert await world.charts.before_install("shop") == 1
    assert (await world.put(1, app(), secret())).is_good
    number, newest = await world.charts.before_upgrade("shop")
    assert (number, newest.spec.revision) == (2, 1)
    done = await world.put(2, app("better"))
    assert done.is_good and [str(key) for key in done.pruned.removed] == ["secret/token"]
    assert await world.there() == ["/better"]
    assert await world.history() == [(1, "superseded", "try 1"), (2, "deployed", "try 2")]


async def test_a_rollback_is_a_new_revision_with_the_old_manifests(world: World) -> None:
    await world.put(1, app(), secret())
    await world.put(2, app("better"))
    done = await world.charts.rollback("shop", None)
    assert done.is_good and done.revision.spec.revision == 3
    assert await world.there() == ["/good", "token"]
    assert (await world.history())[-1] == (3, "deployed", "Rollback to 1")
    await world.charts.rollback("shop", 2)
    assert await world.there() == ["/better"]
    revisions = await Installations(world.store).history("shop")
    assert revisions[1].spec.digest == revisions[3].spec.digest != revisions[0].spec.digest
    with pytest.raises(NotInstalled, match="has no revision 9"):
        await world.charts.rollback("shop", 9)


async def test_what_fails_is_remembered_as_failed_and_serves_what_served(world: World) -> None:
    await world.put(1, app())
    done = await world.put(2, app("bad"))
    assert not done.is_good and await world.there() == ["/good"]
    assert await world.states() == ["deployed", "failed"]
    assert "bad is bad" in (await Installations(world.store).history("shop"))[-1].status.message
    # The failed one in between is no good to go back to, nor to keep values of.
    assert (await world.charts.before_upgrade("shop"))[1].spec.revision == 1
    await world.put(3, app("better"))
    done = await world.charts.rollback("shop", None)
    assert done.revision.spec.description == "Rollback to 1"
    assert await world.states() == ["superseded", "failed", "superseded", "deployed"]


async def test_an_atomic_upgrade_that_fails_is_taken_back(world: World) -> None:
    await world.put(1, app())
    done = await world.put(2, app("bad"), secret(), is_atomic=True)
    assert not done.is_applied and done.taken_back is not None and done.taken_back.is_good
    assert await world.there() == ["/good"]
    assert await world.history() == [
        (1, "superseded", "try 1"),
        (2, "failed", "try 2"),
        (3, "deployed", "Rollback to 1"),
    ]


async def test_an_atomic_install_that_fails_leaves_nothing(world: World) -> None:
    done = await world.put(1, app("bad"), secret(), is_atomic=True)
    assert not done.is_applied and done.taken_back is None
    assert await world.there() == [] and await world.states() == ["failed"]
    # It can be tried again, for nothing of it ever was good.
    assert await world.charts.before_install("shop") == 2


async def test_an_installation_is_made_once_and_upgraded_only_if_there(world: World) -> None:
    with pytest.raises(NotInstalled):
        await world.charts.before_upgrade("shop")
    await world.put(1, app())
    with pytest.raises(Installed, match="steer chart upgrade shop"):
        await world.charts.before_install("shop")


async def test_uninstall_removes_what_is_not_protected(world: World) -> None:
    await world.put(1, app(), secret(), secret("kept", "steersman/prune: 'off'"))
    removal = await world.charts.uninstall("shop", keeps_history=False)
    assert [str(key) for key in removal.removed] == ["app/shop", "secret/token"]
    assert {str(key) for key in removal.protected} == {"secret/kept"}
    assert await world.there() == ["kept"] and await world.history() == []
    with pytest.raises(NotInstalled):
        await world.charts.uninstall("shop", keeps_history=False)


async def test_an_uninstalled_one_with_its_history_comes_back(world: World) -> None:
    await world.put(1, app())
    await world.put(2, app("better"))
    await world.charts.uninstall("shop", keeps_history=True)
    assert await world.there() == [] and await world.states() == ["superseded", "uninstalled"]
    with pytest.raises(NotInstalled):
        await world.charts.uninstall("shop", keeps_history=True)
    done = await world.charts.rollback("shop", None)
    assert done.is_good and await world.there() == ["/better"]
    assert (await world.history())[-1] == (3, "deployed", "Rollback to 2")


async def test_one_that_failed_before_it_was_uninstalled_comes_back_as_it_was_good(
    world: World,
) -> None:
    await world.put(1, app())
    await world.put(2, app("bad"))
    await world.charts.uninstall("shop", keeps_history=True)
    assert await world.states() == ["superseded", "uninstalled"]
    done = await world.charts.rollback("shop", None)
    assert done.is_good and done.revision.spec.description == "Rollback to 1"


async def test_what_cannot_be_removed_keeps_the_history_and_what_it_needs(world: World) -> None:
    await world.put(1, secret(), app().replace("spec:", "spec:\n  config: {secrets: [token]}"))
    world.fleet.away.add("h1")
    removal = await world.charts.uninstall("shop", keeps_history=False)
    assert "h1" in str(removal.errors[0]) and "was not pruned" in str(removal.errors[0])
    assert {str(key) for key in removal.protected} == {"secret/token"}
    assert await world.states() == ["deployed"] and await world.there() == ["/good", "token"]
    world.fleet.away.clear()
    assert not (await world.charts.uninstall("shop", keeps_history=False)).errors
    assert await world.there() == []


async def test_what_others_made_is_not_taken_unless_asked(world: World) -> None:
    await world.hands.apply(load_texts([Text("app.yaml", world.folder, app())]).objects)
    with pytest.raises(NotOurs, match="app/shop, which was applied by itself"):
        await world.put(1, app("better"))
    assert await world.history() == [] and await world.there() == ["/good"]
    assert (await world.put(1, app("better"), takes_over=True)).is_good
    stored = await world.store.get("App", "shop")
    assert stored is not None and stored.metadata["annotations"][INVENTORY] == "chart/shop"


async def test_values_of_secrets_are_read_each_time_and_never_remembered(world: World) -> None:
    await world.put(1, secret())
    assert await world.store.get_secret("token") is not None
    await world.put(2, secret(), app())
    world.environ["TOKEN"] = "changed-changed"
    await world.charts.rollback("shop", 1)
    for stored in await world.store.list("Installation"):
        assert "hunter2" not in str(stored.object) and "changed" not in str(stored.object)
    del world.environ["TOKEN"]
    done = await world.charts.rollback("shop", 2)
    assert "no variable TOKEN" in str(done.error) and (await world.states())[-1] == "failed"


@pytest.mark.parametrize("source", ["value: hunter2-hunter2", "fromExec: [pass, x]", "fromFile: x"])
def test_a_chart_holds_no_secret_and_reads_none_from_this_machine(source: str) -> None:
    text = secret().replace("fromEnv: TOKEN", source)
    with pytest.raises(ChartErrors) as caught:
        objects_in("c", [Text("secret.yaml", Path("/"), text)])
    assert "fromEnv or sealed" in str(caught.value) and "hunter2" not in str(caught.value)
    assert "secret.yaml:5:" in str(caught.value)


async def test_two_people_do_not_work_on_one_installation(world: World) -> None:
    installations = Installations(world.store)
    async with installations.under_way(world.wish(1, app()).spec):
        with pytest.raises(UnderWay, match=r"steer of .* \(pid \d+\) is working on its revision 1"):
            await world.charts.before_install("shop")
        with pytest.raises(Conflict):
            async with installations.under_way(world.wish(1, app()).spec):
                pytest.fail("the number is taken")


async def test_a_run_that_is_interrupted_has_failed_at_once(world: World) -> None:
    installations = Installations(world.store)
    with pytest.raises(KeyboardInterrupt):
        async with installations.under_way(world.wish(1, app()).spec):
            raise KeyboardInterrupt
    assert await world.states() == ["failed"]
    assert await world.charts.before_install("shop") == 2


async def test_a_run_that_died_is_given_up(world: World) -> None:
    async with Installations(world.store).under_way(world.wish(1, app()).spec):
        signed = (await Installations(world.store).history("shop"))[0].status.updated
    assert signed is not None and await world.states() == ["pending"]
    soon = Installations(world.store, lambda: signed + timedelta(seconds=DEAD_AFTER - 1))
    with pytest.raises(UnderWay):
        await soon.settle("shop")
    late = Installations(world.store, lambda: signed + timedelta(seconds=DEAD_AFTER))
    assert [each.status.state for each in await late.settle("shop")] == ["failed"]
    assert "interrupted" in (await late.history("shop"))[0].status.message


async def test_what_has_ended_is_not_signed_as_pending_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.control.installations.SIGN_EVERY", 0.0)
    installations = Installations(world.store)
    async with installations.under_way(world.wish(1, app()).spec) as revision:
        await installations.supersede(revision)
        assert [await world.states() for _ in range(200)] == [["deployed"]] * 200


async def test_the_oldest_revisions_are_forgotten(world: World) -> None:
    installations = Installations(world.store)
    for number in range(1, KEPT + 3):
        async with installations.under_way(world.wish(number, app()).spec) as revision:
            await installations.supersede(revision)
    assert [number for number, _, _ in await world.history()] == list(range(3, KEPT + 3))
    assert await world.states() == ["superseded"] * (KEPT - 1) + ["deployed"]
