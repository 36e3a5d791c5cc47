"""What the controller keeps of Secrets: sealed, by version, as long as a release may need it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from steersman.api.app import App
from steersman.api.mask import Masks
from steersman.api.release import Release, ReleaseSpec
from steersman.api.secret import MASK, Secret, SecretValue
from steersman.control.memory import Memory, NotFound
from steersman.control.release import PINNED, digest_again
from steersman.control.vault import NotKept, Vault, VaultLocked
from steersman.sealing.keyring import Keyring
from steersman.store.sqlite import SqliteStore

ONE, TWO, THREE = ({"TOKEN": f"c4n4ry-number-{n}", "USER": "c4n4ry-user"} for n in (1, 2, 3))


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "state") as opened:
        yield opened


def vault_of(store: SqliteStore) -> Vault:
    return Vault(Memory(store), Keyring(store.path.parent / "age.key"))


@pytest.fixture
def vault(store: SqliteStore) -> Vault:
    return vault_of(store)


def secret(*keys: str) -> Secret:
    data = {key: {"value": "never-looked-at"} for key in keys}
    return Secret.model_validate({"metadata": {"name": "shop"}, "spec": {"data": data}})


BOTH = secret("TOKEN", "USER")


def app() -> App:
    return App.model_validate(
        {
            "metadata": {"name": "web"},
            "spec": {"source": {"path": "/src"}, "config": {"secrets": ["shop"]}, "history": 1},
        }
    )


def release(number: int, version: str, state: str) -> Release:
    spec = {
        "app": "web",
        "number": number,
        "source": {"path": "/src"},
        "content": "c",
        "builds": {},
        "digest": f"{number:064x}",
        "template": {"processes": {}, "config": {"secrets": ["shop"]}},
        "secretVersions": {"shop": version},
    }
    meta = {"name": f"web-{number}"}
    return Release.model_validate({"metadata": meta, "spec": spec, "status": {"state": state}})


async def remember(vault: Vault, number: int, version: str, state: str) -> None:
    made = release(number, version, state)
    memory = vault._memory
    await memory.put_release(made)
    await memory.set_release_status(made, made.status)


async def test_what_is_kept_comes_back_and_is_not_in_the_file(
    vault: Vault, store: SqliteStore
) -> None:
    assert await vault.put(BOTH, ONE) == "created"
    assert await vault.current(["shop"]) == {"shop": ONE}
    assert await vault_of(store).current(["shop"]) == {"shop": ONE}
    files = [path.read_bytes() for path in store.path.parent.iterdir()]
    assert len(files) > 1 and not any(b"c4n4ry" in data for data in files)


async def test_only_another_value_is_a_change(vault: Vault) -> None:
    await vault.put(BOTH, ONE)
    first = await vault.version_of(ONE)
    assert await vault.put(BOTH, ONE) == "unchanged"
    assert await vault.put(BOTH, TWO) == "configured"
    assert await vault._memory.secret_version("shop") == await vault.version_of(TWO) != first


async def test_keys_without_a_value_keep_theirs_and_others_go(vault: Vault) -> None:
    await vault.put(BOTH, ONE)
    await vault.put(BOTH, {"TOKEN": "c4n4ry-new"})
    assert await vault.current(["shop"]) == {"shop": {**ONE, "TOKEN": "c4n4ry-new"}}
    await vault.put(secret("USER"), {})
    assert await vault.current(["shop"]) == {"shop": {"USER": ONE["USER"]}}
    with pytest.raises(NotFound):
        await vault.current(["blog"])
    with pytest.raises(NotKept, match="TOKEN is a digest"):
        await vault.put(BOTH, {"USER": "c4n4ry-user"})


async def test_versions_stay_while_a_release_may_serve_with_them(vault: Vault) -> None:
    versions = [await vault.version_of(values) for values in (ONE, TWO, THREE)]
    await vault._memory.put(app())
    for number, values in enumerate((ONE, TWO, THREE), 1):
        await vault.put(BOTH, values)
        state = "deployed" if number == 3 else "superseded"
        await remember(vault, number, versions[number - 1], state)
    # A history of one: the release that runs, and one good one before it.
    await vault.put(BOTH, THREE)
    assert await vault.at("shop", versions[0]) is None
    assert await vault.at("shop", versions[1]) == TWO
    assert await vault.at("shop", versions[2]) == THREE


async def test_a_lost_key_is_told_and_applying_everything_again_helps(
    vault: Vault, store: SqliteStore
) -> None:
    await vault.put(BOTH, ONE)
    (store.path.parent / "age.key").unlink()
    lost = vault_of(store)
    with pytest.raises(VaultLocked, match="steer secret keygen") as caught:
        await lost.current(["shop"])
    assert "c4n4ry" not in str(caught.value)
    Keyring(store.path.parent / "age.key").make()
    lost = vault_of(store)
    assert isinstance(await lost.learn(["shop"]), VaultLocked)
    with pytest.raises(VaultLocked, match="apply its manifest with every value again"):
        await lost.current(["shop"])
    await lost.put(BOTH, TWO)
    assert await lost.current(["shop"]) == {"shop": TWO}


async def test_resealing_leaves_nothing_to_the_old_key(vault: Vault, store: SqliteStore) -> None:
    await vault.put(BOTH, ONE)
    keys = Keyring(store.path.parent / "age.key")
    old = keys.path.read_text()
    keys.renew()
    await Vault(Memory(store), keys).reseal()
    keys.path.write_text(keys.path.read_text().removesuffix(old))
    assert await vault_of(store).current(["shop"]) == {"shop": ONE}


async def test_what_is_opened_is_masked(vault: Vault, store: SqliteStore) -> None:
    await vault.put(BOTH, ONE)
    assert vault.masks.text(f"a {ONE['TOKEN']} b") == f"a {MASK} b"
    other = vault_of(store)
    assert await other.learn(["shop"]) is None
    assert other.masks.text(f"a {ONE['TOKEN']} b") == f"a {MASK} b"
    assert Masks().text(ONE["TOKEN"]) == ONE["TOKEN"]


async def test_a_stored_secret_shows_keyed_digests(vault: Vault, store: SqliteStore) -> None:
    twin = Secret.model_validate({"metadata": {"name": "twin"}, "spec": BOTH.spec})
    for one in (BOTH, twin):
        await vault.put(one, {"TOKEN": "the-same-value", "USER": "the-same-value"})
    shown = [
        source["stored"]
        for each in await store.list("Secret")
        for source in each.spec["data"].values()
    ]
    # Equal values under other names have other digests, so that they tell nothing of each other.
    assert len(set(shown)) == 4 and all(one.startswith("hmac-sha256:") for one in shown)
    assert SecretValue("the-same-value") not in (await vault.masked(BOTH, {})).spec.data.values()


def test_an_older_release_is_another_one_when_its_secrets_changed() -> None:
    old: ReleaseSpec = release(1, "v1", "superseded").spec
    pinned = app().model_copy(
        update={"metadata": app().metadata.model_copy(update={"annotations": {PINNED: "1"}})}
    )
    assert digest_again(old, pinned, {"shop": "v1"}) == old.digest
    rotated = digest_again(old, pinned, {"shop": "v2"})
    assert rotated != old.digest
    assert rotated == digest_again(old, pinned, {"shop": "v2"})
    restarted = pinned.model_copy(
        update={"metadata": app().metadata.model_copy(update={"annotations": {PINNED: "1@now"}})}
    )
    assert len({digest_again(old, restarted, {"shop": v}) for v in ("v1", "v2")} | {rotated}) == 3
