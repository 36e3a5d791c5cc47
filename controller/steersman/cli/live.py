"""How processes are on the hosts just now, as a table."""

from collections.abc import Sequence
from datetime import datetime

from steersman.cli.tables import age
from steersman.control.live import Instance


def rows_of(instances: Sequence[Instance], now: datetime) -> list[list[str]]:
    """Return the header and a row for each instance."""
    rows = [["HOST", "PROCESS", "RELEASE", "STATE", "RESTARTS", "PID", "MEMORY", "SINCE"]]
    for each in instances:
        rows.append(
            [
                each.host,
                each.process,
                str(each.release),
                each.state,
                str(each.restarts),
                str(each.pid or "-"),
                f"{each.memory / 2**20:.0f}Mi" if each.memory is not None else "-",
                age(each.since.isoformat(), now) if each.since is not None else "-",
            ]
        )
    return rows
