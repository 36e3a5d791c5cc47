"""What a manifest that is put again leaves alone."""

from steersman.api.objects import parse_object
from steersman.control.memory import Memory
from steersman.store.memory import MemoryStore
from steersman.testing.samples import app, host, kept, owned_by


async def test_a_manifest_takes_no_finalizer_or_owner_away() -> None:
    store = MemoryStore()
    memory = Memory(store)
    owner = await store.put(app())
    await store.put(host(finalizers=["a"], ownerReferences=owned_by(owner)))
    await store.delete("Host", "h1")
    assert await memory.put(parse_object(host(address="192.0.2.2"))) == "configured"
    seen = await kept(store, "Host", "h1")
    assert seen.metadata["finalizers"] == ["a"]
    assert seen.metadata["ownerReferences"] == owned_by(owner)
    await memory.put(parse_object(host(address="192.0.2.2", finalizers=[])))
    assert await store.get("Host", "h1") is None
