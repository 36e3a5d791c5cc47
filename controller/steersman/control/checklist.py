"""What a host has and lacks, found by connecting to it, with the fix for each lack."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.host import Host, HostSpec
from steersman.control.session import Session
from steersman.transport import errors as link

State = Literal["good", "poor", "lacking"]

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the checklist; `fix` is what to do unless it is good."""

    what: str
    state: State
    text: str
    fix: str = ""

    @property
    def is_fatal(self) -> bool:
        return self.state == "lacking"


async def examine(session: Session, host: Host, hosts: Mapping[str, Host]) -> list[Finding]:
    """Return everything that can be found of a host, the way to it first."""
    try:
        connected = await session.connect(host, hosts)
        before = time.time()
        facts = (await connected.link.call("check", timeout=60)).header
        # It looked at its clock at some time between: what that explains is no skew.
        now = min(max(float(facts["time"]), before), time.time())
    except SteersmanError as error:
        return list(_broken_way(host, error))
    login = f"as {host.spec.user or facts['user']}"
    return [*_way(host, len(_WAY), login), *findings_of(host.spec, facts, now)]


# What must work to get in, in the order in which it is tried, and the errors that end it there.
_WAY: Sequence[tuple[str, tuple[type[SteersmanError], ...]]] = (
    ("reachable", (HostUnreachable, link.PeerRefused, link.LinkSettingsRefused)),
    ("host key", (link.HostKeyUnknown, link.HostKeyChanged)),
    ("login", (link.LoginRefused, link.IdentityLocked)),
    ("become", (link.SudoRefused,)),
    ("Python", (link.PythonMissing, link.PythonTooOld)),
    ("hand", (SteersmanError,)),
)


def _way(host: Host, passed: int, login: str = "") -> Iterator[Finding]:
    texts = {
        "reachable": f"{host.spec.address} port {host.spec.port}",
        "host key": "pinned in the manifest" if host.spec.host_key else "known",
        "login": login,
        "become": "root by sudo" if host.spec.become == "sudo" else "not asked for",
    }
    for what, _ in _WAY[:passed]:
        if what in texts:
            yield Finding(what, "good", texts[what])


def _broken_way(host: Host, error: SteersmanError) -> Iterator[Finding]:
    number = next(n for n, (_, kinds) in enumerate(_WAY) if isinstance(error, kinds))
    yield from _way(host, number)
    # Every one of these errors is a sentence that ends with the way out.
    text = str(error).removeprefix(f"host {host.name}: ")
    own = f" or run `steer host check {host.name}`"
    why, _, fix = text.replace("," + own, "").partition("; ")
    yield Finding(_WAY[number][0], "lacking", why, fix)


def findings_of(spec: HostSpec, facts: Mapping[str, Any], now: float) -> Iterator[Finding]:
    """Yield what the hand's answer to `check` means; `now` is the time here."""
    yield _root(spec, facts)
    yield Finding("Python", "good", ", ".join(facts["pythons"]) + f" (the hand: {facts['python']})")
    if spec.supervisor == "systemd":
        yield _systemd(int(facts["systemd"]))
        yield _relay(facts)
    if spec.proxy == "nginx":
        yield _nginx(facts)
    if spec.scope == "system":
        yield _present(facts["useradd"], "useradd", "install passwd: `apt-get install passwd`")
    yield _disk(spec, facts)
    yield _inodes(facts)
    yield _clock(float(facts["time"]) - now)
    memory = f"{facts['memory_free'] / GIB:.1f} of {facts['memory'] / GIB:.1f} GiB free"
    yield Finding("system", "good", f"{facts['os']}, Linux {facts['kernel']}, {memory}")


def _root(spec: HostSpec, facts: Mapping[str, Any]) -> Finding:
    if spec.scope == "user" or facts["uid"] == 0:
        return Finding("rights", "good", f"{facts['user']} (uid {facts['uid']})")
    return Finding(
        "rights",
        "lacking",
        f"{facts['user']} is not root",
        "set `become: sudo` in the Host, log in as root, or set `scope: user`",
    )


def _systemd(version: int) -> Finding:
    if version == 0:
        return Finding(
            "systemd", "lacking", "not running", "boot it with systemd, or choose a `supervisor`"
        )
    if version < 240:
        return Finding("systemd", "lacking", str(version), "upgrade the system: 240 is needed")
    return Finding("systemd", "good", f"{version}, running")


def _relay(facts: Mapping[str, Any]) -> Finding:
    if facts["socket_proxyd"] is not None:
        return Finding("socket relay", "good", str(facts["socket_proxyd"]))
    return Finding(
        "socket relay",
        "poor",
        "no systemd-socket-proxyd",
        "needed by processes that only take $PORT: install the package of systemd that has it",
    )


def _nginx(facts: Mapping[str, Any]) -> Finding:
    if facts["nginx"] is None:
        fix = "`apt-get install nginx-light`, or `proxy: none` in the Host"
        return Finding("nginx", "lacking", "not installed", fix)
    if not facts["nginx_active"]:
        fix = "`systemctl enable --now nginx`"
        return Finding("nginx", "lacking", f"{facts['nginx']}, not running", fix)
    return Finding("nginx", "good", f"{facts['nginx']}, running")


def _present(is_there: bool, what: str, fix: str) -> Finding:
    if is_there:
        return Finding(what, "good", "there")
    return Finding(what, "lacking", "absent", fix)


def _disk(spec: HostSpec, facts: Mapping[str, Any]) -> Finding:
    free, size = float(facts["disk_free"]), float(facts["disk_size"])
    text = f"{free / GIB:.1f} of {size / GIB:.1f} GiB free"
    if free >= GIB:
        return Finding("disk", "good", text)
    state: State = "poor" if free >= GIB / 5 else "lacking"
    return Finding("disk", state, text, f"make room for releases below {spec.root}")


def _inodes(facts: Mapping[str, Any]) -> Finding:
    free = int(facts["inodes_free"])
    # Some file systems, such as btrfs, have no fixed number: the hand then says -1.
    if free < 0 or free >= 50_000:
        return Finding("inodes", "good", f"{free} free" if free >= 0 else "not limited")
    return Finding("inodes", "poor", f"{free} free", "remove small files: each release has many")


def _clock(skew: float) -> Finding:
    text = f"{abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) < 2:
        return Finding("clock", "good", text)
    return Finding("clock", "poor", text, "`timedatectl set-ntp true`: logs interleave by time")
