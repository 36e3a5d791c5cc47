"""The checklist of a host: what is good, poor and lacking, and the fix for each lack."""

from typing import Any

import pytest

from steersman.api.host import HostSpec
from steersman.cli.checklist import lines_of
from steersman.control.checklist import Finding, findings_of

GOOD: dict[str, Any] = {
    "python": "3.11",
    "pythons": ["3.9", "3.11"],
    "uid": 0,
    "user": "root",
    "systemd": 252,
    "socket_proxyd": "/usr/lib/systemd/systemd-socket-proxyd",
    "os": "Debian GNU/Linux 12",
    "kernel": "6.1",
    "nginx": "1.22.1",
    "nginx_active": True,
    "useradd": True,
    "disk_free": 50 << 30,
    "disk_size": 100 << 30,
    "inodes_free": 1_000_000,
    "memory": 4 << 30,
    "memory_free": 2 << 30,
    "time": 1000.0,
}


def found(spec: dict[str, Any] | None = None, **facts: Any) -> dict[str, Finding]:
    host = HostSpec.model_validate({"address": "192.0.2.1", **(spec or {})})
    return {each.what: each for each in findings_of(host, {**GOOD, **facts}, 1000.0)}


def test_a_host_that_has_all_is_good() -> None:
    assert {each.state for each in found().values()} == {"good"}


@pytest.mark.parametrize(
    ("what", "facts", "fix"),
    [
        ("rights", {"uid": 1000, "user": "deploy"}, "become: sudo"),
        ("systemd", {"systemd": 0}, "boot it with systemd"),
        ("systemd", {"systemd": 219}, "240 is needed"),
        ("nginx", {"nginx": None}, "apt-get install nginx"),
        ("nginx", {"nginx_active": False}, "systemctl enable --now nginx"),
        ("useradd", {"useradd": False}, "apt-get install passwd"),
        ("disk", {"disk_free": 10 << 20}, "/srv/steersman"),
    ],
)
def test_what_is_needed_and_lacks_is_fatal(what: str, facts: dict[str, Any], fix: str) -> None:
    finding = found(**facts)[what]
    assert finding.is_fatal
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("what", "facts"),
    [
        ("socket relay", {"socket_proxyd": None}),
        ("disk", {"disk_free": 500 << 20}),
        ("inodes", {"inodes_free": 10}),
        ("clock", {"time": 1005.0}),
        ("clock", {"time": 900.0}),
    ],
)
def test_what_may_hurt_is_only_poor(what: str, facts: dict[str, Any]) -> None:
    finding = found(**facts)[what]
    assert (finding.state, bool(finding.fix)) == ("poor", True)


def test_only_what_the_host_is_for_is_asked() -> None:
    findings = found({"proxy": "none", "scope": "user", "supervisor": "supervisor"}, uid=1000)
    assert not {"nginx", "systemd", "useradd", "socket relay"} & set(findings)
    assert findings["rights"].state == "good"


def test_no_limit_of_inodes_is_no_lack() -> None:
    assert found(inodes_free=-1)["inodes"].state == "good"


def test_the_list_is_readable_without_unicode_and_never_drives_a_terminal() -> None:
    findings = [Finding("disk", "lacking", "full\x1b[2J", "make room"), Finding("os", "good", "x")]
    plain = list(lines_of(findings, is_plain=True))
    assert plain == [
        "  FAIL disk  full\\x1b[2J",
        "             fix: make room",
        "  ok   os    x",
    ]
    assert all(line.isascii() for line in plain)
    assert next(lines_of(findings, is_plain=False)).startswith("  ✗ disk")
