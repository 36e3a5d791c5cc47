"""What steersman checks on a host, in pyinfra's own words; the data is wanted.json."""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.facts.systemd import SystemdStatus
from pyinfra.operations import files, server, systemd

wanted = json.loads(Path(os.environ["BENCH_WANTED"]).read_text())

# server.user asks for all that is known of all users, with some hundred forks on the host, and
# systemd.service asks once for each unit. One question for all is pyinfra at its best.
names = [user["name"] for user in wanted["users"]]
rows = (host.get_fact(Command, f"getent passwd {' '.join(names)} || true") or "").splitlines()
known = {row.split(":")[0]: row.split(":")[5:7] for row in rows}
for user in wanted["users"]:
    if known.get(user["name"]) != [user["home"], user["shell"]]:
        server.user(
            user=user["name"],
            home=user["home"],
            shell=user["shell"],
            system=True,
            create_home=False,
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

running = host.get_fact(SystemdStatus, services=wanted["units"])
for unit in wanted["units"]:
    if not running.get(unit):
        systemd.service(service=unit, running=True)
