"""Jobs on this host: what is there of them and how their runs went, and the changes to them."""

from __future__ import annotations

import json
import os

from . import files
from .place import Place, must
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

FOLDER = "jobs"
LIVE = ("running", "retrying")
# Where systemd notes when a timer with Persistent= last fired (systemd.timer(5)).
STAMPS = "/var/lib/systemd/timers"


def seen(place: Place, app: str, digests: files.Digests) -> Dict[str, Any]:
    """Return {"files": {name: [sha256, mode, owner]}, "runs": {job: [record, ...]}} of an app."""
    folder = place.app(app, FOLDER)
    found: Dict[str, Any] = {}
    runs: Dict[str, List[Any]] = {}
    for name in files.entries(folder):
        path = os.path.join(folder, name)
        if name.endswith(".runs"):
            runs[name[: -len(".runs")]] = read_runs(path)
        elif not name.endswith(".tmp"):
            found[name] = digests.seen(path)
    return {"files": found, "runs": runs}


def read_runs(path: str) -> List[Any]:
    try:
        with open(path, encoding="utf-8") as file:
            records: List[Any] = json.load(file)
    except FileNotFoundError:
        return []  # removed since it was listed
    return records


def judge(place: Place, app: str, found: Dict[str, Any], units: Dict[str, List[str]]) -> None:
    """Call lost, in what `seen` found, the runs under way whose unit is not among `units`.

    Those were seen later: a run may have ended in between, so its record is read again.
    """
    for job, runs in found["runs"].items():
        gone = [
            run["id"] for run in runs if run["state"] in LIVE and _is_dead(app, job, run, units)
        ]
        if not gone:
            continue
        again = read_runs(place.app(app, FOLDER, job + ".runs"))
        for run in again:
            if run["id"] in gone and run["state"] in LIVE:
                run.update(state="lost", result="the host went down")
        found["runs"][job] = again


def _is_dead(app: str, job: str, run: Dict[str, Any], units: Dict[str, List[str]]) -> bool:
    unit = "steersman-%s_%s@%s.service" % (app, job, run["instance"])
    # Its record is written while it is deactivating.
    return units.get(unit, ["inactive"])[0] in ("inactive", "failed")


def start(unit: str, replace: bool) -> None:
    """Have systemd start a run, and do not wait for its end."""
    _ours(unit)
    verb = "restart" if replace else "start"
    must(["systemctl", verb, "--no-block", "--", unit])


def forget(place: Place, app: str, job: str, timer: str) -> None:
    """Remove the last that is left of a job: its definition, its records, its timer's stamp."""
    _ours(timer)
    folder = place.app(app, FOLDER)
    for suffix in (".json", ".runs", ".runs.tmp"):
        files.remove(os.path.join(folder, job + suffix))
    for name in files.entries(place.run_of(app)):
        if name.startswith(job + "@") and name.endswith((".run", ".job")):
            files.remove(place.run_of(app, name))
    files.remove(os.path.join(STAMPS, "stamp-" + timer))


def _ours(unit: str) -> None:
    if not unit.startswith("steersman-") or "/" in unit:
        raise Refused("bad-request", "%r is not a unit of steersman's" % unit)
