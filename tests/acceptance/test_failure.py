"""What goes wrong stays small: bad releases take no traffic, lost hosts stop no other."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from acceptance.steer import PULSE, Document, Ran, Repo, Steer, app
from acceptance.web import get, serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from load.background import Load
from load.tally import Report

pytestmark = pytest.mark.lab

HEALTH = {"http": "/healthz", "interval": "1s", "failures": 3}
GOOD = (PULSE / "app.py").read_text()
# Each says something just before it fails, which the error must show.
BAD = {
    "crash": 'import os\nprint("the sea is rough", flush=True)\nos._exit(3)\n',
    "refuse": GOOD.replace(
        "    body = sent or",
        '    if environ["PATH_INFO"] == "/healthz":\n'
        '        print("no harbour in sight", flush=True)\n'
        '        start_response("500 Aground", [("Content-Length", "0")])\n'
        "        return []\n    body = sent or",
    ),
    "mute": 'import time\nprint("becalmed", flush=True)\ntime.sleep(3600)\n',
    "lost": 'print("casting off", flush=True)\nimport no_such_module\n' + GOOD,
}
LAST_WORDS = {
    "crash": "the sea is rough",
    "refuse": "no harbour in sight",
    "mute": "becalmed",
    "lost": "No module named 'no_such_module'",
}
SITES = [f"{name}.example.com" for name in BAD]


@dataclass
class Sick:
    """Four apps, each good at first, then each with a bad release of its own; `crash` is on all
    three hosts, the others on the first."""

    steer: Steer
    hosts: list[Host]
    repos: dict[str, Repo]
    documents: list[Document]
    applied: Ran
    reports: dict[str, Report]

    def placed(self, name: str) -> list[Host]:
        return hosts_of(name, self.hosts)

    def states(self, name: str) -> list[str]:
        """Return the states of the app's releases, oldest first."""
        rows = self.steer.run("rollout", "history", f"app/{name}").out.splitlines()[2:]
        return [row.split()[1] for row in rows]


def hosts_of(name: str, hosts: list[Host]) -> list[Host]:
    return hosts if name == "crash" else hosts[:1]


@pytest.fixture(scope="module")
def sick(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Sick:
    steer, folder = new_steer(), tmp_path_factory.mktemp("repos")
    repos = {name: Repo(folder / name, PULSE) for name in BAD}
    web = {"command": "gunicorn app:app --timeout 3600", "port": "http", "health": HEALTH}
    # A good release must begin within it, four of them at once.
    rollout = {"progressDeadlineSeconds": 20}
    apps = [app(n, repo, processes={"web": web}, rollout=rollout) for n, repo in repos.items()]
    for each in apps:
        chosen = hosts_of(each["metadata"]["name"], hosts.hosts)
        each["spec"]["placement"] = {"hosts": [host.name for host in chosen]}
    documents = [*steer.hosts(), *apps]
    steer.apply(*documents)
    for name, repo in repos.items():
        repo.commit({"app.py": BAD[name], "VERSION": "2\n"})
    urls = {n: [f"http://{host.address}/" for host in hosts_of(n, hosts.hosts)] for n in BAD}
    with ExitStack() as stack:
        loads = {
            name: stack.enter_context(
                Load(urls[name], host=f"{name}.example.com", method="MIX", rate=60, connections=6)
            )
            for name in BAD
        }
        applied = steer.apply(*documents, expect=1)
    reports = {name: load.report for name, load in loads.items()}
    return Sick(steer, hosts.hosts, repos, documents, applied, reports)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_release_takes_no_traffic(sick: Sick, name: str) -> None:
    report = sick.reports[name]
    assert report.failed == 0, report.examples
    assert set(report.revisions) == {"1"} and report.ok > 100
    for host in sick.placed(name):
        units = [unit for unit in seen.units(host) if unit.startswith(f"steersman-{name}.web.g")]
        assert units and all(".g1" in unit for unit in units), (
            "the failed generation is still there"
        )
        folder = host.root / f"srv/steersman/apps/{name}"
        assert [path.name[:2] for path in (folder / "releases").iterdir()] == ["1-"]
        assert len(list((folder / "builds").iterdir())) == 1, "its files are still there"


@pytest.mark.parametrize("name", BAD)
def test_the_error_says_which_release_and_why(sick: Sick, name: str) -> None:
    told = re.split(r"^error: ", sick.applied.err, flags=re.MULTILINE)
    mine = [text for text in told if f"app {name}: release 2 was rejected" in text]
    assert len(mine) == 1, sick.applied.err
    assert LAST_WORDS[name] in mine[0]
    assert "release 1 serves as before" in mine[0]
    assert sick.states(name) == ["deployed", "rejected"]


def test_a_rejected_release_is_not_tried_again(sick: Sick) -> None:
    before = [seen.snapshot(host) for host in sick.hosts]
    again = sick.steer.apply(*sick.documents, expect=1)
    for name in BAD:
        assert f"app {name}: release 2 was rejected before and is not tried again" in again.err
        assert sick.states(name) == ["deployed", "rejected"]
    assert "step" not in again.out
    for host, was in zip(sick.hosts, before, strict=True):
        assert was.changes(seen.snapshot(host)) == []


def test_a_mended_commit_goes_through(sick: Sick) -> None:
    for repo in sick.repos.values():
        repo.commit({"app.py": GOOD, "VERSION": "3\n"})
    sick.steer.apply(*sick.documents)
    for name, site in zip(BAD, SITES, strict=True):
        assert all(serves(host, site, "3") for host in sick.placed(name))
        assert sick.states(name) == ["superseded", "rejected", "deployed"]


def test_a_lost_host_stops_no_other(sick: Sick, hosts: Lab) -> None:
    mine = {"crash", *(host.name for host in hosts.hosts)}
    documents = [each for each in sick.documents if each["metadata"]["name"] in mine]
    sick.repos["crash"].release("4")
    hosts.kill_host(1)
    ran = sick.steer.apply(*documents, expect=1)
    assert "h2: crash unreachable" in ran.out, ran.said
    assert "h2" in ran.err
    assert serves(hosts.hosts[0], SITES[0], "4") and serves(hosts.hosts[2], SITES[0], "4")
    hosts.start_host(1)
    wait_until(lambda: serves(hosts.hosts[1], SITES[0], "3"), "the old release")
    again = sick.steer.apply(*documents)
    assert "h1: crash unchanged" in again.out, again.said
    assert serves(hosts.hosts[1], SITES[0], "4")


def test_a_site_of_somebody_else_is_not_taken_over(sick: Sick, steer: Steer, hosts: Lab) -> None:
    host = hosts.hosts[0]
    site = "server { listen 80; server_name blog.example.com; return 200 theirs; }\n"
    host.run(["tee", "/etc/nginx/conf.d/blog.conf"], stdin=site)
    host.run(["nginx", "-s", "reload"])
    wait_until(lambda: get(host, "blog.example.com").body == b"theirs", "the reload")
    before = seen.snapshot(host)
    blog = app("blog", sick.repos["crash"])
    ran = steer.apply(*steer.hosts(host), blog, expect=1)
    assert "blog.example.com" in ran.err and "/etc/nginx/conf.d/blog.conf" in ran.err, ran.said
    assert [line for line in before.changes(seen.snapshot(host)) if "/epoch" not in line] == []
    host.run(["rm", "/etc/nginx/conf.d/blog.conf"])


def test_two_apps_cannot_claim_one_name(sick: Sick, steer: Steer, hosts: Lab) -> None:
    host = hosts.hosts[0]
    one, two = app("one", sick.repos["crash"]), app("two", sick.repos["crash"])
    two["spec"]["routes"] = one["spec"]["routes"]
    ran = steer.apply(*steer.hosts(host), one, two, expect=1)
    assert "apps one and two both route one.example.com on host h1" in ran.err
    assert steer.run("get", "all").out == "", "what was refused is remembered"


def test_a_site_that_nginx_refuses_leaves_the_old_one(sick: Sick, hosts: Lab) -> None:
    host, name = hosts.hosts[0], "refuse"
    documents = [each for each in sick.documents if each["metadata"]["name"] == name]
    path = f"/etc/nginx/conf.d/steersman-{name}.conf"
    site, reloads = (host.root / path[1:]).read_bytes(), seen.nginx_reloads(host)
    host.run(["tee", "/etc/nginx/conf.d/zz-broken.conf"], stdin="no such directive;\n")
    routes = documents[0]["spec"]["routes"]
    routes.append({"host": "new.example.com", "process": "web"})
    ran = sick.steer.apply(*documents, expect=1)
    assert 'unknown directive "no"' in ran.err, ran.said
    assert (host.root / path[1:]).read_bytes() == site
    assert seen.nginx_reloads(host) == reloads
    assert get(host, SITES[1]).status == 200
    host.run(["rm", "/etc/nginx/conf.d/zz-broken.conf"])
    sick.steer.apply(*documents)
    wait_until(lambda: serves(host, "new.example.com", "3"), "the new name")


def test_a_site_that_nginx_did_not_take_is_brought_to_it_later(sick: Sick, hosts: Lab) -> None:
    host, name = hosts.hosts[0], "refuse"
    documents = [each for each in sick.documents if each["metadata"]["name"] == name]
    squatter = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8099"]
    host.run(["systemd-run", "--quiet", "--unit=squatter", *squatter])
    wait_until(lambda: "8099" in host.run(["ss", "-ltn"]), "the squatter")
    # `nginx -t` does not mind a port that is taken, and a reload then changes nothing.
    site = "server { listen 127.0.0.1:8099; server_name harbour.example.com; }\n"
    host.run(["tee", "/etc/nginx/conf.d/zz-harbour.conf"], stdin=site)
    documents[0]["spec"]["routes"].append({"host": "late.example.com", "process": "web"})
    ran = sick.steer.apply(*documents, expect=1)
    assert "nginx did not take its new configuration" in ran.err, ran.said
    host.run(["systemctl", "stop", "squatter"])
    assert not serves(host, "late.example.com", "3")
    sick.steer.apply(*documents)
    wait_until(lambda: serves(host, "late.example.com", "3"), "the name that came late")
    host.run(["rm", "/etc/nginx/conf.d/zz-harbour.conf"])
    host.run(["nginx", "-s", "reload"])
