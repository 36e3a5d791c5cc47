"""One bridge for a lab, and for each host a network namespace on a cable to it."""

import ipaddress
import json
import random
from dataclasses import dataclass
from pathlib import Path

from lab.commands import LabError, run

NETNS = Path("/run/netns")
CABLE = "host0"
"""The end of its cable in a host."""


def free_subnet() -> str:
    """Return a /24 of 10.0.0.0/8 that no address or route of this machine touches.

    The caller holds the lab's lock until the bridge has the address.
    """
    taken = _networks()
    for _ in range(1000):
        candidate = f"10.{random.randint(64, 254)}.{random.randint(1, 254)}.0/24"
        if not any(ipaddress.ip_network(candidate).overlaps(each) for each in taken):
            return candidate
    raise LabError(
        "found no free /24 in 10.0.0.0/8 after 1000 tries; `ip route` shows what is in use"
    )


def _networks() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]))
    links = json.loads(run(["ip", "-j", "-4", "addr"]))
    networks = [route["dst"] for route in routes if route["dst"] != "default"]
    networks += [f"{a['local']}/{a['prefixlen']}" for link in links for a in link["addr_info"]]
    return [ipaddress.IPv4Network(each, strict=False) for each in networks]


@dataclass(frozen=True)
class Network:
    """The names and addresses of one lab; every name carries the run id, within 15 characters."""

    run_id: str
    subnet: str

    @property
    def bridge(self) -> str:
        return f"s{self.run_id}br"

    def cable(self, number: int) -> str:
        """The machine's end of a host's cable."""
        return f"s{self.run_id}v{number}"

    def namespace(self, number: int) -> str:
        return f"steersman-lab-{self.run_id}-h{number}"

    @property
    def machine(self) -> str:
        """The address of this machine, as hosts know it: .1."""
        return str(ipaddress.IPv4Network(self.subnet)[1])

    def address(self, number: int) -> str:
        """Host 1 is .11, host 2 is .12 and so on."""
        return str(ipaddress.IPv4Network(self.subnet)[10 + number])

    def up(self, count: int) -> None:
        """Make the bridge and the cables, and power them all."""
        lines = [f"link add {self.bridge} type bridge"]
        lines.append(f"addr add {self.machine}/24 dev {self.bridge}")
        lines.append(f"link set {self.bridge} up")
        for number in range(1, count + 1):
            namespace, cable = self.namespace(number), self.cable(number)
            lines.append(f"netns add {namespace}")
            lines.append(f"link add {cable} type veth peer name {CABLE} netns {namespace}")
            lines.append(f"link set {cable} master {self.bridge} up")
        run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
        for number in range(1, count + 1):
            lines = ["link set lo up", f"addr add {self.address(number)}/24 dev {CABLE}"]
            lines.append(f"link set {CABLE} up")
            inside = ["ip", "-n", self.namespace(number), "-batch", "-"]
            run(inside, stdin="\n".join(lines) + "\n")

    def plug(self, number: int) -> None:
        run(["ip", "link", "set", self.cable(number), "up"])

    def unplug(self, number: int) -> None:
        run(["ip", "link", "set", self.cable(number), "down"])

    def down(self) -> None:
        """Remove whatever there is of it; safe to repeat."""
        links = [link["ifname"] for link in json.loads(run(["ip", "-j", "link"]))]
        mine = [name for name in links if name.startswith(f"s{self.run_id}v")]
        mine += [self.bridge] if self.bridge in links else []
        spaces = [path.name for path in NETNS.glob(f"steersman-lab-{self.run_id}-h*")]
        lines = [f"link del {name}" for name in mine] + [f"netns del {name}" for name in spaces]
        if lines:
            run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
