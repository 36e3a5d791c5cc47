"""The deploy of a pyinfra user: put the archive, then one shell with all commands.

Tuned: the upload skips the comparison (it always differs), and one shell operation takes the place
of several whose facts would each be a round trip.
"""

import json
import os
from pathlib import Path

from pyinfra.operations import files, server

wanted = json.loads(Path(os.environ["BENCH_DEPLOY"]).read_text())

files.put(src=wanted["archive"], dest=wanted["remote"], create_remote_dir=False, force=True)
server.shell(commands=[" && ".join(wanted["commands"])])
