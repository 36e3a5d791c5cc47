"""What steersman checks on a host, in pyinfra's own words; the data is wanted.json.

With BENCH_TUNED=1, what its operations ask most dearly is asked once and by hand: server.user wants
to know all of every user (hundreds of forks on the host), systemd.service asks unit by unit.
"""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.facts.systemd import SystemdStatus
from pyinfra.operations import files, server, systemd

wanted = json.loads(Path(os.environ["BENCH_WANTED"]).read_text())
users, units = wanted["users"], wanted["units"]

if os.environ.get("BENCH_TUNED") == "1":
    names = " ".join(user["name"] for user in users)
    rows = (host.get_fact(Command, f"getent passwd {names} || true") or "").splitlines()
    known = {row.split(":")[0]: row.split(":")[5:7] for row in rows}
    users = [user for user in users if known.get(user["name"]) != [user["home"], user["shell"]]]
    running = host.get_fact(SystemdStatus, services=units)
    units = [unit for unit in units if not running.get(unit)]

for user in users:
    server.user(
        user=user["name"], home=user["home"], shell=user["shell"], system=True, create_home=False
    )

for folder in wanted["folders"]:
    files.directory(
        path=folder["path"], mode=folder["mode"], user=folder["owner"], group=folder["group"]
    )

for file in wanted["files"]:
    files.put(
        src=file["source"],
        dest=file["path"],
        mode=file["mode"],
        user=file["owner"],
        group=file["group"],
        create_remote_dir=False,
    )

for link in wanted["links"]:
    files.link(path=link["path"], target=link["target"], create_remote_dir=False)

for unit in units:
    systemd.service(service=unit, running=True)
