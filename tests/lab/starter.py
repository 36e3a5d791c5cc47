"""Becomes what boots one host: joins its cgroups, mounts its overlay, executes it.

Runs in a mount namespace of its own, so that the overlay goes when the host does.
Arguments: the overlay's options, its mount point, the cgroup folders, `--`, the command.
"""

import os
import subprocess
import sys
from pathlib import Path


def main(argv: list[str]) -> None:
    split = argv.index("--")
    options, root, *cgroups = argv[:split]
    command = argv[split + 1 :]
    for cgroup in cgroups:
        Path(cgroup).mkdir(parents=True, exist_ok=True)
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
