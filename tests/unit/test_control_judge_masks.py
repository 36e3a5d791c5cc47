"""What a canary said before it was found worse is shown without its secrets."""

from types import SimpleNamespace
from typing import Any

from steersman.api.app import App
from steersman.api.host import HostSpec
from steersman.api.mask import Masks
from steersman.api.secret import MASK
from steersman.control.judge import judge

UNIT = "steersman-shop.web.g2@1.service"
ANSWERS = {
    "details": {"units": {UNIT: {"restarts": 99}}},
    "tail": {"lines": ["password is c4n4ry-in-the-mine"]},
}


class Link:
    """A host whose canary restarts again and again, and says a secret each time."""

    name = "h1"
    host = SimpleNamespace(spec=HostSpec(address="h1"))

    def __init__(self) -> None:
        self.link = self
        self.masks = Masks()
        self.masks.learn(["c4n4ry-in-the-mine"])

    async def observe(self) -> Any:
        return SimpleNamespace(units_of=lambda app: [UNIT])

    async def call(self, op: str, **args: object) -> Any:
        return SimpleNamespace(header=ANSWERS[op])


async def test_a_worse_canarys_last_lines_are_masked() -> None:
    spec = {"source": {"path": "/src"}, "processes": {"web": {"command": "x"}}}
    app = App.model_validate({"metadata": {"name": "shop"}, "spec": spec})
    stage = SimpleNamespace(moved=("h1",), others=())
    fault = await judge(app, 2, stage, {"h1": Link()})  # type: ignore[arg-type, dict-item]
    assert fault is not None and "restarted 99 times" in str(fault)
    assert fault.logs == (f"password is {MASK}",)
