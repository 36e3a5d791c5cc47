"""The errors that a daemon has seen."""

from pathlib import Path
from typing import Any

import httpx

from acceptance.steer import Steer

Error = dict[str, Any]


class Book:
    """What the daemon says of errors, asked as often as one likes."""

    def __init__(self, steer: Steer) -> None:
        self._door = str(Path(steer.env["XDG_STATE_HOME"]) / "steersman" / "steer.sock")

    def errors(self, kind: str) -> list[Error]:
        transport = httpx.HTTPTransport(uds=self._door)
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as client:
            answer = client.get("/apis/steersman/v1/errors")
        items: list[Error] = answer.json()["items"]
        return [each for each in items if each["spec"]["kind"] == kind]

    def count(self, kind: str) -> int:
        return sum(each["spec"]["count"] for each in self.errors(kind))

    def has(self, mark: str) -> bool:
        """Return whether the last of the exceptions told this mark."""
        return any(each["spec"]["message"].endswith(mark) for each in self.errors("exception"))
