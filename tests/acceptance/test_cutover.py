"""Measured cut-over: what steer says of requests is what the clients themselves counted."""

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from acceptance.pier import GOOD, Pier
from lab import seen
from lab.commands import wait_until
from lab.host import Host

pytestmark = pytest.mark.lab

SITE_FILE = "etc/nginx/conf.d/steersman-pier.conf"
# Each tenth answer of an instance is an error, whoever asks for what.
TENTH = GOOD.replace(
    "    body = sent or",
    '    asked.append(environ["PATH_INFO"])\n'
    '    if environ["PATH_INFO"] != "/healthz" and len(asked) % 10 == 0:\n'
    '        start_response("500 Faulty", [("Content-Length", "0")])\n'
    "        return []\n    body = sent or",
).replace("STATE_DIR = ", "asked: list[str] = []\nSTATE_DIR = ")

LOG = "var/log/nginx/steersman-pier.access.log"


def answered(host: Host, number: int) -> int:
    """Return how many requests a host's log says that a generation answered."""
    log = host.root / LOG
    return log.read_text().count(f"|OK|{number}|{number}|") if log.exists() else 0


def forget_others(hosts: Sequence[Host]) -> None:
    """Empty the logs: an app of the same name may have been on these hosts before."""
    for host in hosts:
        host.run(["truncate", "-c", "-s", "0", f"/{LOG}"])


def of_release(pier: Pier, number: int) -> dict[str, Any]:
    shown = pier.steer.run("get", f"release/pier-{number}", "-o", "json").out
    found: dict[str, Any] = json.loads(shown)["status"]["cutOver"]
    return found


def test_the_figures_are_what_the_clients_counted(pier: Pier) -> None:
    forget_others(pier.hosts)
    pier.commit(TENTH)
    # The load must end before what is measured does.
    file = pier.write(strategy="BlueGreen", minReadySeconds=15)
    with ExitStack() as ending:
        with pier.load() as load:
            # Answers of the old release, to compare with.
            wait_until(lambda: all(answered(host, 1) > 20 for host in pier.hosts), "some load")
            applying = ending.enter_context(pier.started("apply", "-f", file))
            wait_until(lambda: all(answered(host, 2) > 20 for host in pier.hosts), "the switches")
        is_soaking = applying.poll() is None
        said, complaint = applying.communicate(timeout=60)
    assert applying.returncode == 0 and is_soaking, (said, complaint)
    report, found = load.report, of_release(pier, 2)
    assert set(report.failures) == {"status"}, report.examples

    # All requests and all errors to the last one, whatever was under way as the links moved.
    old, new, unsure = found["old"], found["new"], found["unsure"]
    assert old["requests"] + new["requests"] + unsure["requests"] == report.sent
    assert old["errors"] == 0
    assert new["errors"] + unsure["errors"] == report.failed > 0
    assert [side["cut"] for side in (old, new, unsure)] == [0, 0, 0]
    # By release as well, but for those.
    good_of_old, few = report.revisions["1"], unsure["requests"]
    assert old["requests"] <= good_of_old <= old["requests"] + few
    assert few <= 6, "as many as there are connections may be under way"
    for side in ("old", "new", "unsure"):
        assert sum(host[side]["requests"] for host in found["hosts"]) == found[side]["requests"]
    assert [host["host"] for host in found["hosts"]] == ["h1", "h2", "h3"]
    assert 0 < new["p99"] < report.slowest * 1.1 + 0.05

    count = f"{report.failed:,} of {report.sent:,}"
    text = f"{count} requests failed"
    rate = f"errors old 0.0 % new {new['errors'] / new['requests'] * 100:.1f} %"
    assert re.search(rf"release 2 took over: {text}, p99 [+-]\d+ ms, {rate}", said), said
    status = pier.rollout("status", "app/pier").out
    assert f"release 2 took over: {text}" in status, status
    events = pier.steer.run("events", "--for", "app/pier").out
    assert re.search(rf"CutOver\s.*{text}", events), events
    first, second = pier.rollout("history", "app/pier").out.splitlines()[2:]
    # Another test's app of this name may have been asked just before.
    assert re.search(r"(no requests|0 of [\d,]+)$", first), first
    assert second.endswith(count), second


def test_a_site_of_an_older_steersman_is_brought_up_to_date(pier: Pier) -> None:
    host = pier.hosts[1]
    site = host.root / SITE_FILE
    wanted = site.read_text()
    site.write_text(older(wanted))
    before = seen.nginx_reloads(host) + 1
    host.run(["nginx", "-s", "reload"])
    wait_until(lambda: seen.nginx_reloads(host) == before, "the reload")
    with pier.load() as load:
        ran = pier.apply()
    # Nothing but what the release itself does since the test before.
    report = load.report
    assert set(report.failures) <= {"status"} and set(report.statuses) <= {"200", "500"}, report
    assert "h2: pier converged, 1 step" in ran.out, ran.said
    assert site.read_text() == wanted and seen.nginx_reloads(host) == before + 1
    assert "nothing to do" in pier.apply().out


def older(site: str) -> str:
    """Return a site as it was before its log said who answered."""
    site = re.sub(r"(?m)^map \$realpath_root[^}]*}\n|^log_format [^;]*;\n", "", site)
    site = re.sub(r"(?m)^ *(set \$steersman|root |uninitialized).*\n", "", site)
    return re.sub(r"(access_log \S+) steersman_pier;", r"\1 combined;", site)
