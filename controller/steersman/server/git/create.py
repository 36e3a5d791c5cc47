"""Making a repository to push to, and the app that is deployed from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.names import check_app_name
from steersman.api.objects import AnyObject, parse_object
from steersman.api.refusal import Refused
from steersman.api.source import check_ref
from steersman.control.apply import Controller
from steersman.control.memory import Memory
from steersman.control.verbs import Made
from steersman.server.git.config import Git
from steersman.server.git.depot import Depot


class SourceElsewhere(SteersmanError):
    """An app is deployed from another repository than the one that was made for it."""


class NotMade(SteersmanError):
    """What is asked for cannot be made."""


class Pushes:
    """Makes repositories in a depot; `config` says how pushes come in, None that none do yet."""

    def __init__(
        self, depot: Depot, controller: Controller, memory: Memory, config: Git | None
    ) -> None:
        self._depot = depot
        self._controller = controller
        self._memory = memory
        self._config = config

    async def create(self, app: str, ref: str, routes: Sequence[str]) -> Made:
        """Make the repository of `app` unless it is there, and remember an app with that source.

        An app that has this source already keeps all it has. Raises NotMade and, where it has
        another, SourceElsewhere or what else makes the app impossible.
        """
        try:
            check_app_name(app)
            check_ref(ref)
        except Refused as refused:
            raise NotMade(f"{app[:60]!r} at {ref[:60]!r}: {refused}") from None
        url = str(self._depot.path(app))
        wanted = _wanted(app, url, ref, routes)
        async with self._controller.held(app):
            known = (await self._memory.apps()).get(app)
            if known is not None:
                _check_known(known, url)
            is_new = await self._depot.create(app, ref)
            if known is None:
                # It has nothing to run yet: the first push brings it to its hosts.
                await self._controller.admit([wanted])
                await self._controller.remember(wanted)
        return Made(url, is_new, _next_steps(app, ref, self._config))


def _wanted(app: str, url: str, ref: str, routes: Sequence[str]) -> AnyObject:
    spec: dict[str, Any] = {"source": {"git": {"url": url, "ref": ref}}}
    pairs = [route.partition("/") for route in routes]
    spec["routes"] = [
        {"host": host, "path": f"{slash}{path}" or "/", "process": "web"}
        for host, slash, path in pairs
    ]
    metadata = {"name": app}
    data = {"apiVersion": "steersman/v1", "kind": "App", "metadata": metadata, "spec": spec}
    return parse_object(data)


def _check_known(app: App, url: str) -> None:
    source = app.spec.source
    if source.git is None or source.git.url != url:
        raise SourceElsewhere(
            f"app {app.name} is deployed from elsewhere; apply it with"
            f" spec.source.git.url: {url} to deploy what is pushed"
        )


def _next_steps(app: str, ref: str, git: Git | None) -> str:
    if git is None:
        return (
            "git push is not served yet: say `git: {listen: …, keys: …}` in serve.yaml and start"
            " `steer serve`; then, in your working copy:\n"
            f"  git remote add steer ssh://git@HOST:PORT/{app}\n  git push steer {ref}"
        )
    address = git.address or f"{git.place[0] or 'HOST'}:{git.place[1]}"
    return (
        "in your working copy:\n"
        f"  git remote add steer ssh://git@{address}/{app}\n  git push steer {ref}"
    )
