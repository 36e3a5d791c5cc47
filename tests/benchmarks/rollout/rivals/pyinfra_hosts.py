"""The hosts, as pyinfra wants to know them."""

import json
import os
from pathlib import Path

wanted = json.loads(Path(os.environ["BENCH_DEPLOY"]).read_text())
login = {
    "ssh_user": "deploy",
    "ssh_key": wanted["key"],
    "ssh_known_hosts_file": wanted["known_hosts"],
    "ssh_strict_host_key_checking": "yes",
    "ssh_config_file": os.devnull,
    "ssh_allow_agent": False,
    "ssh_look_for_keys": False,
}
hosts = [(name, {"ssh_hostname": address, **login}) for name, address in wanted["hosts"].items()]
