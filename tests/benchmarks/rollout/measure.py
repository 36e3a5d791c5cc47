"""One deploy, from the commit to the moment when every host serves it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rollout.tools import Deployer, finished
from benchmarks.rollout.watch import Watch, judge, sent
from benchmarks.tools import environment
from benchmarks.void import Void
from lab.host import Host


@dataclass(frozen=True)
class Deployed:
    """`serving`: seconds until all hosts served the revision; `ended`: until the tool did.

    `sent` is the most bytes that went to a host; `lost` the share of a user's requests to the site
    that got anything but 200 meanwhile, which says nothing of a first deploy.
    """

    serving: float
    ended: float
    sent: int
    lost: float
    said: str


def deploy(tool: Deployer, hosts: Sequence[Host], *, is_first: bool) -> Deployed:
    """Commit a change and let `tool` deploy it.

    Raises `Void` if it fails, or if any host serves another revision in the end.
    """
    before, began = sent(hosts), time.monotonic()
    revision = tool.shop.change()
    with Watch(hosts, tool.site, revision) as watch:
        done = finished(tool.deploy(hosts, is_first=is_first), environment(tool.env))
        ended, after = time.monotonic(), sent(hosts)
        if done.returncode != 0:
            raise Void(f"{tool.name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    judge(hosts, tool.site, revision)
    most = max(after[host.name] - before[host.name] for host in hosts)
    said = done.stdout + done.stderr
    return Deployed(watch.served - began, ended - began, most, watch.lost, said)
