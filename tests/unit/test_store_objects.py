"""Objects that no kind of ours would be: the store knows JSON, and tells apart what JSON does."""

from typing import Any

import pytest

from steersman.store.errors import BadObject
from steersman.store.memory import MemoryStore


def thing(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


async def test_what_json_tells_apart_is_a_change() -> None:
    store = MemoryStore()
    for number, value in enumerate([1, True, 1.0, "1", None, [1], {"1": 1}, {}, []], 1):
        assert (await store.put(thing(value=value))).generation == number, value


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"metadata": {"name": "x"}, "spec": {}}, "without a kind"),
        ({"kind": "Thing", "spec": {}}, "without metadata.name"),
        ({"kind": "Thing", "metadata": ["name"], "spec": {}}, "without metadata.name"),
        ({"kind": "Thing", "metadata": {"name": "x"}, "spec": {}}, "lacks its apiVersion"),
        ({**thing(), "spec": None}, "lacks its spec"),
        ({**thing(), "spec": {"when": object()}}, "not plain JSON"),
        ({**thing(), "spec": {"rate": float("nan")}}, "not plain JSON"),
        ({**thing(), "spec": {"size": 2**64}}, "not plain JSON"),
        ({**thing(), "spec": {"text": "\ud800"}}, "not plain JSON"),
        ({**thing(), "spec": {1: 2}}, "not plain JSON"),
        ([], "not a map"),
        *(
            ({**thing(), "metadata": {"name": "x", field: value}}, f"metadata.{field}")
            for field, value in (
                ("labels", ["a"]),
                ("labels", {"a": 1}),
                ("annotations", None),
                ("finalizers", "a"),
                ("finalizers", [1]),
                ("ownerReferences", [{"kind": "App"}]),
                ("ownerReferences", [{"kind": "App", "name": "x", "uid": 1}]),
            )
        ),
    ],
)
async def test_what_is_no_object_is_refused(broken: Any, why: str) -> None:
    store = MemoryStore()
    with pytest.raises(BadObject, match=why):
        await store.put(broken)
    if why != "lacks its spec":
        with pytest.raises(BadObject, match=why):
            await store.apply(broken, "me")
    assert await store.revision() == 0


async def test_a_status_is_a_map() -> None:
    store = MemoryStore()
    await store.put(thing())
    statuses: tuple[object, ...] = ([], None, "ready")
    for status in statuses:
        with pytest.raises(BadObject, match="status of Thing t"):
            await store.put_status("Thing", "t", status)  # type: ignore[arg-type]


async def test_what_nests_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"deeper": deep}
    with pytest.raises(BadObject, match="not plain JSON"):
        await MemoryStore().put(thing(value=deep))
