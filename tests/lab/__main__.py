"""`python -m lab up|down`: a lab for a person, which stays until it is taken down."""

import argparse
import sys
import time
from pathlib import Path

from lab.commands import LabError
from lab.lab import Lab, erase, kept_for
from lab.machine import reason_to_skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    up = verbs.add_parser("up", help="boot hosts and say how to reach them")
    up.add_argument("--hosts", type=int, default=3)
    up.add_argument("--user", choices=["root", "deploy"], default="root")
    up.set_defaults(do=_up)
    down = verbs.add_parser("down", help="remove the hosts made for this folder, and no others")
    down.set_defaults(do=_down)
    for verb in (up, down):
        verb.add_argument("--to", type=Path, default=Path(".lab"), help="where manifests go")
    chosen = parser.parse_args()
    reason = reason_to_skip()
    if reason is not None:
        sys.stderr.write(f"lab: {reason}\n")
        return 1
    try:
        chosen.do(chosen)
    except LabError as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    return 0


def _up(chosen: argparse.Namespace) -> None:
    kept = kept_for(chosen.to)
    if kept:
        raise LabError(f"lab {kept[0]} is up already; take it down with `make lab-down` first")
    began = time.monotonic()
    lab = Lab(count=chosen.hosts, keep_for=chosen.to)
    lab.up()
    files = lab.write_reach(chosen.to, chosen.user)
    print(f"{chosen.hosts} hosts are up after {time.monotonic() - began:.1f} s:")
    for host in lab.hosts:
        print(f"  {host.name}  {host.address}  ssh -F {files.ssh_config} {host.name}")
    print(f"key         {lab.key} (root, and deploy with sudo)")
    print(f"known hosts {files.known_hosts}")
    print(f"manifests   {files.manifests}: steer apply -f {files.manifests}")
    print("take them down with: make lab-down")


def _down(chosen: argparse.Namespace) -> None:
    kept = kept_for(chosen.to)
    for run_id in kept:
        erase(run_id)
        print(f"lab {run_id} is down")
    if not kept:
        print("no lab was up")


if __name__ == "__main__":
    sys.exit(main())
