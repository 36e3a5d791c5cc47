"""How things are just now, over HTTP: instances, generations, logs, runs of jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from steersman.api.errors import SteersmanError
from steersman.api.job import Job
from steersman.api.objects import parse_object
from steersman.control.faults import encode_error
from steersman.control.live import Instance
from steersman.control.logs import Labels, Lack, Line, Told, Wanted
from steersman.server.ask import Ask, typed
from steersman.server.hosts import looks_of
from steersman.server.objects import found, json_answer
from steersman.server.status import ApiError
from steersman.server.streams import alive, bug, ndjson, told
from steersman.store.protocol import Event

LONGEST = 366 * 24 * 3600
MOST_LINES = 1_000_000
MOST_NAMES = 1000
MOST_EVENTS = 1000


async def instances(ask: Ask) -> Response:
    """Return the instances on the hosts named by `host` (several), of one `app` or of all."""
    hosts = ask.connection.query_params.getlist("host")[:MOST_NAMES]
    app = ask.text("app")
    _own(ask, "Instance", app)
    running, silent = await looks_of(ask).instances(hosts, app)
    return json_answer({"instances": [_instance(each) for each in running], "silent": silent})


def _instance(instance: Instance) -> dict[str, Any]:
    data = asdict(instance)
    since = instance.since.isoformat() if instance.since is not None else None
    return {**data, "since": since}


async def generations(ask: Ask) -> Response:
    app = ask.text("app")
    _own(ask, "Generation", app)
    items, silent = await looks_of(ask).generations(app)
    return json_answer({"items": items, "silent": silent})


def _own(ask: Ask, kind: str, app: str | None) -> None:
    """Raise ApiError unless who asks may see what runs of this app, or of all."""
    ask.must("get", "App", {"metadata": {"name": app}} if app is not None else {})


async def busy(ask: Ask) -> Response:
    """Return whether somebody works on an app at this moment."""
    await found(ask)
    is_leased = await ask.parts.store.is_leased(f"app/{ask.named}")
    return json_answer({"busy": is_leased})


async def happened(ask: Ask) -> Response:
    """Return the newest events, of one object or of all; oldest first."""
    limit = ask.number("limit", most=MOST_EVENTS) or 50
    events = await ask.parts.store.events(ask.text("kind"), ask.text("name"), limit)
    mine = [each for each in events if ask.may("get", "Event", _involved(each))]
    return json_answer({"items": [asdict(each) for each in mine]})


def _involved(event: Event) -> dict[str, Any]:
    return {"spec": {"involved": {"kind": event.kind, "name": event.name}}}


async def logs(ask: Ask) -> Response:
    """Tell the lines of an app or a job: {"labels"}, {"line"} and {"lack"}, then {"end"}."""
    since, tail = ask.number("since", most=LONGEST), ask.number("tail", most=MOST_LINES)
    process, host = ask.text("process"), ask.text("host")
    is_followed = ask.flag("follow")
    started = f"-{since}s" if since is not None else ""
    wanted = Wanted(started, -1 if tail is None else tail, is_followed)
    await found(ask)
    kind = "Job" if ask.kind == "Job" else "App"
    lines = looks_of(ask).logs(kind, ask.named, process, host, wanted)  # type: ignore[arg-type]
    items = alive(_lines(lines), ask.parts.limits.alive_every, ask.parts.stopping)
    return ndjson(ask.parts, items)


async def _lines(lines: AsyncGenerator[Told]) -> AsyncGenerator[dict[str, Any]]:
    try:
        async with aclosing(lines) as each_told:
            async for each in each_told:
                match each:
                    case Line():
                        yield {"line": list(each)}
                    case Labels():
                        yield {"labels": list(each.labels)}
                    case Lack():
                        yield {"lack": each.why}
        yield {"end": True}
    except SteersmanError as error:
        yield {"faults": [encode_error(error)]}
    except Exception as error:
        yield {"faults": [bug(error)]}


async def refresh(ask: Ask) -> Response:
    """Ask hosts how jobs are and remember it; tells why hosts said nothing."""
    names = typed(await ask.options("names"), "names", list, [])
    jobs = await ask.parts.session.memory.jobs()
    mine = [job for job in jobs if job.name in names and ask.may("get", "Job", _data(job))]

    async def work() -> Any:
        silent = await ask.parts.controller.jobs.refresh(mine)
        return {host: encode_error(error) for host, error in silent.items()}

    return told(ask, work)


def _data(job: Job) -> dict[str, Any]:
    return {"metadata": {"name": job.name}, "spec": {"app": job.spec.app}}


async def run(ask: Ask) -> Response:
    """Run a job now on one of its hosts: tells each line that it writes, and how it ended."""
    given = await ask.options("host")
    job = parse_object((await found(ask)).object)
    host = given.get("host")
    if not isinstance(job, Job) or host not in job.status.hosts:
        raise ApiError(422, "host: one of status.hosts of the job")

    async def work() -> Any:
        await ask.note("Ran", f"runs job/{job.name} on {host}")
        runs, report = ask.parts.controller.job_runs, ask.parts.relay
        ended = await runs.run(job, host, lambda line: report.said(RUN_LINE, line))
        return ended.model_dump(mode="json", by_alias=True, exclude_none=True)

    return told(ask, work)


RUN_LINE = "run"
"""What a line of a run is said about; a client prints it as it is."""
