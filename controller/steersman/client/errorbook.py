"""The errors that a daemon has seen."""

from __future__ import annotations

from steersman.client.api import Api
from steersman.telemetry.errorform import Object


class RemoteErrors:
    """The same method as `telemetry.errorlog.ErrorLog`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def errors(self, app: str | None = None, name: str | None = None) -> list[Object]:
        given = {"app": app, "name": name}
        params = {key: value for key, value in given.items() if value is not None}
        found: list[Object] = (await self._api.json("GET", "/errors", params=params))["items"]
        return found
