"""The verbs of hosts: what keeps apps off them, whether they are fit, and which keys are theirs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from steersman.api.host import Host
from steersman.control.answers import encode_outcomes
from steersman.control.looks import OwnLooks
from steersman.server.admission import parse
from steersman.server.ask import Ask, mapping, typed
from steersman.server.resources import Resource
from steersman.server.status import ApiError
from steersman.server.streams import told

MOST_HOSTS = 1000
LONGEST = 7 * 24 * 3600


async def cordon(ask: Ask) -> Response:
    await ask.options()

    async def work() -> Any:
        await ask.note("Steered", f"cordon of host/{ask.named}")
        return await ask.parts.controller.cordons.cordon(ask.named)

    return told(ask, work)


async def uncordon(ask: Ask) -> Response:
    await ask.options()

    async def work() -> Any:
        await ask.note("Steered", f"uncordon of host/{ask.named}")
        outcomes = await ask.parts.controller.cordons.uncordon(ask.named)
        return None if outcomes is None else encode_outcomes(outcomes)

    return told(ask, work)


async def drain(ask: Ask) -> Response:
    given = await ask.options("force", "within")
    is_forced, within = typed(given, "force", bool, False), given.get("within")
    if within is not None and (isinstance(within, bool) or not isinstance(within, int | float)):
        raise ApiError(422, "within: write seconds as a number")
    if within is not None and not 0 < within <= LONGEST:
        raise ApiError(422, f"within: more than 0 and at most {LONGEST} seconds")

    async def work() -> Any:
        await ask.note("Steered", f"drain of host/{ask.named}")
        cordons = ask.parts.controller.cordons
        is_empty, outcomes = await cordons.drain(ask.named, is_forced=is_forced, within=within)
        return {"empty": is_empty, "outcomes": encode_outcomes(outcomes)}

    return told(ask, work)


async def check(ask: Ask) -> Response:
    """Connect to hosts, known or given, and list what they have and lack."""
    body = mapping(await ask.body(), ("names", "hosts"))
    given, names = _given(ask, body), texts(body, "names")

    async def work() -> Any:
        found = await looks_of(ask).check(given, names)
        return {name: [asdict(each) for each in findings] for name, findings in found.items()}

    return told(ask, work)


async def keys(ask: Ask) -> Response:
    """Ask a host, known or given, which keys it shows."""
    body = mapping(await ask.body(), ("name", "hosts"))
    given, name = _given(ask, body), typed(body, "name", str, "")

    async def work() -> Any:
        shown = await looks_of(ask).host_keys(given, name)
        found = [
            dict(zip(("algorithm", "line", "fingerprint"), k, strict=True)) for k in shown.keys
        ]
        return {"keys": found, "pinned": sorted(shown.pinned)}

    return told(ask, work)


async def trust(ask: Ask) -> Response:
    """Trust keys of a host from now on."""
    body = mapping(await ask.body(), ("name", "hosts", "lines", "replace"))
    given, name, lines = _given(ask, body), typed(body, "name", str, ""), texts(body, "lines")
    is_replacing = typed(body, "replace", bool, False)
    if any(not line.isprintable() or len(line) > 2000 for line in lines):
        raise ApiError(422, "lines: each is a public key on one line")

    async def work() -> Any:
        await ask.note("Trusted", f"trusted {len(lines)} keys of host/{name}", name=name)
        return await looks_of(ask).trust(given, name, lines, is_replacing=is_replacing)

    return told(ask, work)


def looks_of(ask: Ask) -> OwnLooks:
    return OwnLooks(ask.parts.session, ask.parts.controller, ask.parts.trusted)


def _given(ask: Ask, body: dict[str, Any]) -> dict[str, Host]:
    """Return the Hosts in a body: they need not be known yet."""
    listed = typed(body, "hosts", list, [])
    if len(listed) > MOST_HOSTS:
        raise ApiError(413, f"{len(listed)} hosts; send at most {MOST_HOSTS} at once")
    found = [parse(Resource("Host", Host, True), data, None) for data in listed]
    return {each.name: each for each in found if isinstance(each, Host)}


def texts(body: dict[str, Any], key: str) -> list[str]:
    listed: list[str] = typed(body, key, list, [])
    if len(listed) > MOST_HOSTS or not all(isinstance(each, str) for each in listed):
        raise ApiError(422, f"{key}: a list of at most {MOST_HOSTS} texts")
    return listed
