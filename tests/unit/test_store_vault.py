"""Epochs, the digest key and secret values, as a file keeps them."""

from pathlib import Path

from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"


async def test_epochs_outlive_the_process(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        assert await store.next_epoch(at_least=41) == 41
    async with SqliteStore(tmp_path / "s") as store:
        assert await store.next_epoch() == 42


async def test_the_key_is_made_once(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "s") as store:
        key = await store.key()
    assert len(key) == 32
    async with SqliteStore(tmp_path / "s") as store:
        assert await store.key() == key
    async with SqliteStore(tmp_path / "other") as store:
        assert await store.key() != key


async def test_deleting_the_secret_wipes_its_values(tmp_path: Path) -> None:
    secret = {
        "apiVersion": "steersman/v1",
        "kind": "Secret",
        "metadata": {"name": "shop"},
        "spec": {"keys": ["TOKEN"]},
    }
    async with SqliteStore(tmp_path / "s") as store:
        await store.put(secret)
        await store.put_secret("shop", {"TOKEN": CANARY})
        assert CANARY not in str(await store.get("Secret", "shop"))
        assert CANARY not in str(await store.list("Secret"))
        assert await store.delete("Secret", "shop")
        assert await store.get_secret("shop") is None
    on_disk = b"".join(file.read_bytes() for file in (tmp_path / "s").iterdir())
    assert CANARY.encode() not in on_disk
