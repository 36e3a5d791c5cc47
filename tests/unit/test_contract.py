"""Which releases cannot be gone back to, and which hosts cannot fall back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from steersman.api.meta import Condition
from steersman.api.release import Release
from steersman.control.hosts import HostLink
from steersman.control.phase import part_by_contract
from steersman.control.release import COMMAND_DONE, contract_after
from steersman.planning.seen import AppSeen


def release(
    number: int, *, contract: bool = False, done: str | None = "True", content: str = ""
) -> Release:
    command = {"command": ["migrate"], "contract": contract}
    template: dict[str, Any] = {"processes": {}, "release": command}
    spec = {
        "app": "shop", "number": number, "source": {"path": "."}, "builds": {},
        "content": content or f"content {number}", "digest": "0" * 64, "template": template,
    }  # fmt: skip
    found = Release.model_validate({"metadata": {"name": f"shop-{number}"}, "spec": spec})
    if done is None:
        return found
    status = found.status.model_copy(
        update={"conditions": (Condition.model_validate({"type": COMMAND_DONE, "status": done}),)}
    )
    return found.model_copy(update={"status": status})


@pytest.mark.parametrize(
    ("releases", "to", "found"),
    [
        ([release(1), release(2)], 1, None),
        ([release(1), release(2, contract=True)], 1, 2),
        ([release(1), release(2, contract=True, done=None)], 1, None),
        ([release(1), release(2, contract=True, done="False")], 1, None),
        ([release(1), release(2, contract=True), release(3)], 2, None),
        ([release(1), release(2, contract=True), release(3, contract=True)], 1, 3),
        ([release(1), release(2, contract=True), release(3)], 1, 2),
        # A restart is a release of the same code.
        ([release(1, contract=True), release(2, contract=True, content="content 1")], 1, None),
        # One that served after the contract works, whatever its content.
        ([release(1), release(2, contract=True), release(3, content="content 1")], 3, None),
    ],
)
def test_a_contract_that_ran_bars_what_was_before(
    releases: list[Release], to: int, found: int | None
) -> None:
    contract = contract_after(releases, releases[to - 1])
    assert (contract.spec.number if contract is not None else None) == found


class FakeLink:
    """A host whose traffic goes to a release."""

    def __init__(self, name: str, serving: str | None) -> None:
        self.name = name
        links = {} if serving is None else {"serving": f"/srv/steersman/apps/shop/{serving}"}
        self._seen = SimpleNamespace(app=lambda name: AppSeen(links=links))

    async def observe(self) -> SimpleNamespace:
        return self._seen


async def test_only_hosts_that_have_not_switched_fall_back_over_a_contract() -> None:
    links = cast(
        list[HostLink],
        [
            FakeLink("switched", "releases/2-abc"),
            FakeLink("before", "releases/1-abc"),
            FakeLink("empty", None),
        ],
    )
    one = release(1)
    back, staying = await part_by_contract(one, [one, release(2, contract=True)], links)
    assert [link.name for link in back] == ["before", "empty"]
    assert [each.host for each in staying] == ["switched"]
    assert "release 1 does not work" in str(staying[0])
    back, staying = await part_by_contract(one, [one, release(2)], links)
    assert (len(back), staying) == (3, [])
