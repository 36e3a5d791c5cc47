"""The deploy of a Fabric user: put the archive on all hosts, then one command line on each.

All hosts at once, over one connection each; nothing is echoed and no terminal is asked for.
"""

import json
import os
from pathlib import Path

from fabric import Config, ThreadingGroup

wanted = json.loads(Path(os.environ["BENCH_DEPLOY"]).read_text())
config = Config(
    overrides={"load_ssh_configs": False, "run": {"hide": True, "in_stream": False}}, lazy=True
)
login = {"key_filename": wanted["key"], "allow_agent": False, "look_for_keys": False}

with ThreadingGroup(
    *wanted["hosts"].values(), user="deploy", config=config, connect_kwargs=login
) as group:
    group.put(wanted["archive"], wanted["remote"])
    group.run(" && ".join(wanted["commands"]))
