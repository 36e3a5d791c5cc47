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


def start(unit: str, replace: bool) -> None:
    """Have systemd start a run, and do not wait for its end."""
    _ours(unit)
    verb = "restart" if replace else "start"
    must(["systemctl", verb, "--no-block", "--", unit])


def forget(place: Place, app: str, job: str, timer: str, is_last: bool) -> None:
    """Remove the last that is left of a job; the last job takes the folder with it."""
    _ours(timer)
    folder = place.app(app, FOLDER)
    for suffix in (".json", ".runs", ".runs.tmp"):
        files.remove(os.path.join(folder, job + suffix))
    files.remove(os.path.join(STAMPS, "stamp-" + timer))
    if is_last:
        files.remove(folder)


def _ours(unit: str) -> None:
    if not unit.startswith("steersman-") or "/" in unit:
        raise Refused("bad-request", "%r is not a unit of steersman's" % unit)
