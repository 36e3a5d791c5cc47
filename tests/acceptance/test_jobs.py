"""Jobs on one real host: run once, on a schedule, one at a time, cut, followed and removed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acceptance.steer import Document, Repo, Steer, app, changes
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

TASK = """\
import os, subprocess, sys, time
what, *more = sys.argv[1:]
print(what, os.environ["MOOD"], os.environ["STEER_RELEASE"], os.getcwd(), flush=True)
if what == "fail":
    sys.exit(7)
if what == "wait":
    shared = os.environ["HOME"]
    with open(f"{shared}/{more[0]}", "a") as file:
        file.write("begin\\n")
    while not os.path.exists(f"{shared}/go"):
        time.sleep(0.05)
    import late
    print("late", late.VERSION, flush=True)
    with open(f"{shared}/{more[0]}", "a") as file:
        file.write("end\\n")
if what == "stuck":
    subprocess.Popen(["sleep", "4243"], start_new_session=True)
    time.sleep(4243)
if what == "flaky":
    mark = f"{os.environ['HOME']}/flaky"
    if not os.path.exists(mark):
        open(mark, "w").close()
        sys.exit(3)
"""
SHARED = "srv/steersman/apps/crew/shared"


class Crew:
    """An app with a worker on one host, and what is asked of its jobs."""

    def __init__(self, steer: Steer, host: Host, repo: Repo) -> None:
        self.steer, self.host, self.repo = steer, host, repo
        processes = {"worker": {"command": "sleep 1000000", "env": {"MOOD": "wild"}}}
        config = {"env": {"MOOD": "calm"}}
        self.app = app("crew", repo, processes=processes, config=config, routes=[], history=1)

    def job(self, name: str, *words: str, **spec: Any) -> Document:
        command = ["python", "task.py", *words]
        return {
            "apiVersion": "steersman/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"app": "crew", "command": command, **spec},
        }

    def apply(self, *documents: Document, expect: int | None = 0, **env: str) -> str:
        return self.steer.apply(*documents, expect=expect, **env).said

    def status(self, name: str) -> Document:
        told: Document = json.loads(self.steer.run("get", f"job/{name}", "-o", "json").out)
        status: Document = told["status"]
        return status

    def runs(self, name: str) -> list[Document]:
        found: list[Document] = self.status(name).get("runs", [])
        return found

    def states(self, name: str) -> list[str]:
        return [run["state"] for run in self.runs(name)]

    def delete(self, name: str) -> None:
        self.steer.run("delete", f"job/{name}")

    def shared(self, name: str) -> Path:
        return self.host.root / SHARED / name

    def processes(self) -> str:
        return self.host.run(["ps", "-eo", "args"])

    def ours(self, host: Host | None = None) -> list[str]:
        """Return every trace of jobs on the host: units, files and records."""
        at = host or self.host
        units = [name for name in seen.units(at) if "crew_" in name]
        places = ("etc/systemd/system", "run/steersman/crew", "var/lib/systemd/timers")
        found = [str(path) for place in places for path in (at.root / place).rglob("*crew_*")]
        pins = [path.name for path in (at.root / "run/steersman/crew").glob("*@*")]
        jobs = at.root / "srv/steersman/apps/crew/jobs"
        return units + found + pins + ([str(p) for p in jobs.iterdir()] if jobs.exists() else [])


@pytest.fixture(scope="module")
def crew(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crew]:
    files = {"task.py": TASK, "late.py": "VERSION = 1\n", "requirements.txt": ""}
    repo = Repo(tmp_path_factory.mktemp("crew") / "repo", files)
    made = Crew(new_steer(), hosts.hosts[0], repo)
    made.apply(*made.steer.hosts(made.host), made.app)
    yield made
    made.steer.run("delete", "app/crew")
    assert not made.ours()


@pytest.fixture(autouse=True)
def _no_jobs_are_left(crew: Crew) -> Iterator[None]:
    """A test that fails must not make the next one fail."""
    yield
    left = crew.steer.run("get", "jobs", "-o", "name").out.split()
    if left:
        crew.steer.run("delete", *left)
    crew.shared("go").unlink(missing_ok=True)


def test_a_one_off_job_runs_once_for_each_change_of_it(crew: Crew) -> None:
    before = seen.snapshot(crew.host)
    job = crew.job("once", "hello", process="worker")
    assert "job/once: complete on h1" in crew.apply(job)
    assert "hello wild 1 /srv/steersman/apps/crew/" in crew.steer.run("logs", "job/once").out
    crew.apply(job)
    assert crew.states("once") == ["succeeded"]
    crew.apply(crew.job("once", "again"))
    assert crew.states("once") == ["succeeded", "succeeded"]
    assert "again calm 1" in crew.steer.run("logs", "job/once").out
    crew.delete("once")
    assert not crew.ours()
    assert changes(before, crew.host) == []


def test_what_went_wrong_is_told_and_not_repeated(crew: Crew) -> None:
    failed = crew.apply(crew.job("bad", "fail"), expect=1)
    assert "exit code 7" in failed and "fail calm 1" in failed
    again = crew.apply(crew.job("bad", "fail"), expect=1)
    assert "exit code 7" in again
    assert crew.states("bad") == ["failed"] and crew.runs("bad")[0]["code"] == 7
    conditions = {c["type"]: c["status"] for c in crew.status("bad")["conditions"]}
    assert conditions["Failed"] == "True" and conditions["Complete"] == "False"
    assert crew.steer.run("job", "run", "job/bad", expect=7).out.startswith("fail calm 1")
    described = crew.steer.run("describe", "job/bad").out
    assert described.count("exit code 7") >= 2
    crew.delete("bad")


def test_a_timeout_takes_the_children_along_and_a_retry_mends(crew: Crew) -> None:
    said = crew.apply(crew.job("stuck", "stuck", timeout="1s", retries=3), expect=1)
    assert "timeout" in said
    assert len(crew.runs("stuck")[0]["invocations"]) == 1, "a timeout is not tried again"
    assert "4243" not in crew.processes()
    crew.delete("stuck")
    crew.apply(crew.job("flaky", "flaky", retries=2, retryDelay="100ms"))
    run = crew.runs("flaky")[0]
    assert run["state"] == "succeeded" and len(run["invocations"]) == 2
    crew.delete("flaky")
    assert not crew.ours()


def test_a_schedule_fires_and_forbid_does_not_overlap(crew: Crew) -> None:
    job = crew.job("tick", "wait", "ticks", schedule="*:*:*", stop={"timeout": "1s"})
    crew.apply(job)
    crew.host.run(["systemctl", "daemon-reload"])  # what a boot reads, it reads
    wanted_at_boot = crew.host.run(["systemctl", "show", "-p", "Wants", "multi-user.target"])
    assert "steersman-crew_tick.timer" in wanted_at_boot
    wait_until(lambda: crew.shared("ticks").exists(), "the first run")
    again = crew.apply(job)
    assert "job/tick: on h1, runs now" in again and "nothing to do" not in again
    refused = crew.steer.run("job", "run", "tick", expect=1)
    assert "concurrency: Forbid" in refused.err
    crew.shared("go").touch()
    wait_until(lambda: crew.states("tick").count("succeeded") >= 2, "two runs")
    marks = crew.shared("ticks").read_text().split()
    assert marks[:4] == ["begin", "end", "begin", "end"]
    row = crew.steer.run("get", "jobs").out.splitlines()[1].split()
    assert row[:4] == ["tick", "crew", "*:*:*", "no"]
    crew.apply(crew.job("tick", "wait", "ticks", schedule="*:*:*", suspend=True))
    assert "nextRun" not in crew.status("tick")
    wait_until(lambda: "running" not in crew.states("tick"), "the end of the last that was due")
    count = len(crew.shared("ticks").read_text())
    assert crew.steer.run("job", "run", "tick").out.endswith("late 1\n")
    assert len(crew.shared("ticks").read_text()) == count + len("begin\nend\n")
    crew.delete("tick")
    assert not crew.ours()
    crew.shared("go").unlink()


def test_a_run_that_was_missed_is_caught_up_after_a_reboot_and_only_once(
    crew: Crew, hosts: Lab
) -> None:
    # Half a day from now: whatever runs just after a boot was missed.
    daily = f"0 {(time.gmtime().tm_hour + 12) % 24} * * *"
    caught = crew.job("caught", "say", schedule=daily, timeZone="UTC")
    crew.apply(caught, crew.job("skipped", "say", schedule=daily, timeZone="UTC", missed="skip"))
    crew.host.shut_down()
    stamps = crew.host.folder / "upper/var/lib/systemd/timers"
    two_days_ago = time.time() - 2 * 86400
    os.utime(stamps / "stamp-steersman-crew_caught.timer", (two_days_ago, two_days_ago))
    hosts.start_host(0)
    wait_until(lambda: crew.states("caught") == ["succeeded"], "the run that was missed")
    hosts.reboot(0)
    assert (crew.states("caught"), crew.states("skipped")) == (["succeeded"], [])


def test_allow_overlaps_and_replace_takes_over(crew: Crew) -> None:
    allow = crew.job("many", "wait", "many", schedule="*:*:*", concurrency="Allow")
    # Each of these must come as far as to write, before the next one takes over.
    replace = crew.job("one", "wait", "one", schedule="*:*:0/4", concurrency="Replace")
    crew.apply(allow, replace)

    def have_begun(path: Path) -> bool:
        return path.exists() and path.read_text().split()[:2] == ["begin", "begin"]

    for name in ("many", "one"):
        wait_until(partial(have_begun, crew.shared(name)), name)
    assert crew.states("many").count("running") >= 2
    assert crew.states("one").count("running") <= 1 and "stopped" in crew.states("one")
    crew.steer.run("delete", "job/many", "job/one")
    assert not crew.ours() and "task.py" not in crew.processes()


def follow_to_its_first_line(crew: Crew) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "steersman.cli", "logs", "job/long", "-f"],
        env=crew.steer.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        line = following.stdout.readline()
        following.send_signal(signal.SIGINT)
    assert line.split("|")[0].split() == ["h1", "long"]
    assert line.split("|")[1].startswith(" wait calm 1 ")


def test_a_run_keeps_its_release_through_deploys(crew: Crew) -> None:
    # Not one that fires as it is looked at: while a run goes on, no next one is known.
    assert "next run" in crew.apply(crew.job("long", "wait", "long", schedule="yearly"))
    running = subprocess.Popen(
        [sys.executable, "-m", "steersman.cli", "job", "run", "job/long"],
        env=crew.steer.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: crew.shared("long").exists(), "the run")
    follow_to_its_first_line(crew)
    for version in (2, 3, 4):
        crew.repo.commit({"late.py": f"VERSION = {version}\n"})
        crew.apply(crew.app)
    crew.shared("go").touch()
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0 and out.endswith("late 1\n")
    assert "late 4" in crew.steer.run("job", "run", "job/long").out
    crew.apply(crew.app)
    releases = sorted(p.name[0] for p in (crew.host.root / SHARED).parent.glob("releases/*"))
    assert releases == ["3", "4"], "what the run had kept is collected after it"
    crew.delete("long")
    crew.shared("go").unlink()


def test_a_killed_apply_is_finished_by_the_next(crew: Crew) -> None:
    job = crew.job("backup", "hello", schedule="@daily", missed="skip")
    crew.apply(job)
    wanted = seen.snapshot(crew.host)
    crew.delete("backup")
    steps = 0
    for number in range(1, 20):
        ran = crew.steer.apply(job, expect=None, STEER_FAILPOINT=f"after:{number}")
        steps = number
        if ran.code == 0:
            break
        assert ran.code == -signal.SIGKILL, ran.said
        crew.apply(job)
        assert changes(wanted, crew.host) == [], f"killed after step {number}"
        crew.delete("backup")
        assert not crew.ours()
    assert 6 <= steps < 19
    crew.delete("backup")
    for point in ("before:6", "after:6"):
        ran = crew.steer.apply(crew.job("solo", "hello"), expect=None, STEER_FAILPOINT=point)
        assert ran.code == -signal.SIGKILL, ran.said
        crew.apply(crew.job("solo", "hello"))
        assert crew.states("solo") == ["succeeded"], f"killed {point}, which starts it"
        crew.delete("solo")


def test_a_job_is_on_one_host_and_moves_with_its_app(crew: Crew) -> None:
    assert crew.steer.lab is not None
    first, second = crew.steer.lab.hosts[:2]
    crew.apply(*crew.steer.hosts(first, second), crew.app)
    crew.apply(crew.job("spread", "hello", schedule="yearly", everyHost=True))
    assert crew.status("spread")["hosts"] == ["h1", "h2"]
    assert crew.ours(first) and crew.ours(second)
    job = crew.job("spread", "hello", schedule="yearly")
    crew.apply(job)
    assert crew.status("spread")["hosts"] == ["h1"] and not crew.ours(second)
    crew.steer.run("host", "drain", "h1")
    assert crew.status("spread")["hosts"] == ["h2"] and not crew.ours(first)
    crew.steer.run("host", "uncordon", "h1")
    assert crew.status("spread")["hosts"] == ["h2"], "what is well placed stays"
    crew.steer.run("delete", "host/h2")
    crew.apply(job)
    assert crew.status("spread")["hosts"] == ["h1"] and not crew.ours(second)
    assert "hello calm" in crew.steer.run("job", "run", "spread").out
