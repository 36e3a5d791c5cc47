"""Around each run of a job: pins the release it runs, becomes its command, records how it went.

drivers/jobs.py writes this file to hosts, where systemd runs it (stdlib, Python 3.9+):

    jobrun.py begin DEFINITION INSTANCE   as ExecCondition=, root: 1 skips the run, 255 fails it
    jobrun.py run   PREFIX     INSTANCE   as ExecStart=, the app's user: PREFIX as `begin` has it
    jobrun.py end   DEFINITION INSTANCE   as ExecStopPost=, root, with $SERVICE_RESULT

A run keeps the release that was current when it began: `<job>@<instance>.job` in the app's run
folder points at it, and no release that such a link names is collected. What to run lies beside it
for the app's user, and not in the unit's environment: root runs `end`, and must not take a
LD_LIBRARY_PATH of the app's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import signal
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional

    Definition = Dict[str, Any]
    Run = Dict[str, Any]

SKIP, MISSING, FAIL = 1, 127, 255
NAME = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
LIVE = ("running", "retrying")


def main(words: List[str]) -> int:
    verb, path, instance = words
    if verb == "run":
        return become(path + instance + ".run")
    try:
        with open(path, encoding="utf-8") as file:
            definition = json.load(file)
    except FileNotFoundError:
        return SKIP  # the job is being removed
    try:
        with locked(os.path.dirname(path)):
            work = begin if verb == "begin" else end
            return work(definition, instance, os.environ.get("INVOCATION_ID", ""))
    except Exception:
        # Python's own 1 would skip the run without a word.
        traceback.print_exc()
        if verb == "end":
            stay_down(definition, instance)
        return FAIL


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the folder: runs that overlap write the same records."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def begin(definition: Definition, instance: str, invocation: str) -> int:
    """Record the run, and pin what it runs: its release and its variables."""
    runs, boot = read_runs(definition), boot_id()
    for old in runs:
        is_again = old["instance"] == instance and old["state"] == "running"
        if old["state"] in LIVE and (is_again or old["boot"] != boot):
            old.update(state="lost", ended=time.time(), result="the host went down")
    run = last_of(runs, instance)
    if run is not None and run["state"] == "retrying":
        run.update(state="running", invocations=[*run["invocations"], invocation])
    elif run is not None and instance.startswith("once-"):
        return SKIP  # whoever asked for it died before he saw that it had run
    else:
        run = {"id": invocation, "invocations": [invocation], "instance": instance}
        run.update(state="running", release=0, started=time.time(), boot=boot)
        run.update(ended=None, result="", code=None)
        runs.append(run)
    write_runs(definition, runs)
    release = pin(definition, instance)
    run["release"] = int(release["number"])
    write_runs(definition, runs)
    told = {"argv": definition["argv"], "cwd": release["folder"] + "/src"}
    told["env"] = environment(definition, release)
    write(told_path(definition, instance), json.dumps(told).encode(), 0o400, definition["user"])
    return 0


def pin(definition: Definition, instance: str) -> Dict[str, Any]:
    """Point the run's link at the current release, which keeps it; return the release's record."""
    current = os.path.join(definition["home"], "current")
    link = pin_path(definition, instance)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    folder = ""
    while folder != os.path.realpath(current):
        # A deploy may have moved it in between: then the one that was pinned may be gone.
        folder = os.path.realpath(current)
        temporary = link + ".tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(folder, temporary)
        os.rename(temporary, link)
    with open(os.path.join(folder, "release.json"), encoding="utf-8") as file:
        record = json.load(file)
    return {**record, "folder": folder}


def environment(definition: Definition, release: Dict[str, Any]) -> Dict[str, str]:
    """Return where the release is, the app's own variables, and those of the job's process.

    A job that is of none has those of whatever runs once.
    """
    folder, number = release["folder"], release["number"]
    env = {
        "PATH": folder + "/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": folder + "/venv",
        "PYTHONPATH": folder + "/src",
        "STEER_RELEASE": str(number),
        "STEER_REVISION": str(release.get("commit") or release.get("content") or ""),
    }
    path = "%s/env/%s" % (definition["home"], number)
    own = "%s.%s" % (path, definition["process"] or "@once")
    for each in (path, own) if os.path.exists(own) else (path,):
        with open(each, encoding="utf-8") as file:
            env.update(parse_env(file.read()))
    return env


def parse_env(text: str) -> Dict[str, str]:
    """Read the env files this product writes: NAME="value" with backslash escapes."""
    lines = (line.partition("=") for line in text.splitlines())
    return {
        name: re.sub(r"\\(.)", r"\1", quoted[1:-1])
        for name, _, quoted in lines
        if quoted.startswith('"')
    }


def become(path: str) -> int:
    """Become the command that `begin` left at `path`, with $NAME taken from its environment."""
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    env = {**os.environ, **told["env"]}
    argv = [NAME.sub(lambda found: env.get(found[1] or found[2], ""), w) for w in told["argv"]]
    os.chdir(told["cwd"])
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.stderr.write("steersman: cannot run %s: %s\n" % (argv[0], error.strerror))
    return MISSING


def end(definition: Definition, instance: str, invocation: str) -> int:
    """Record how the run ended, and let go of its release."""
    runs = read_runs(definition)
    run = next((run for run in runs if invocation in run["invocations"]), None)
    if run is None or run["state"] != "running":
        return 0  # it was skipped
    result = os.environ.get("SERVICE_RESULT", "")
    how, status = os.environ.get("EXIT_CODE", ""), os.environ.get("EXIT_STATUS", "")
    run.update(result=said(result, how, status), code=code_of(result, how, status))
    run["state"] = state_of(definition, run, result, how, status)
    run["ended"] = time.time()
    write_runs(definition, pruned(definition, runs))
    for path in (pin_path(definition, instance), told_path(definition, instance)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if run["state"] not in ("succeeded", "retrying"):
        stay_down(definition, instance)
    return 0


def state_of(definition: Definition, run: Run, result: str, how: str, status: str) -> str:
    if result == "success":
        return "succeeded"
    if result == "signal" and how == "killed" and status == definition["stop"]:
        return "stopped"
    # What took too long once would take too long again.
    is_tried_again = result != "timeout" and len(run["invocations"]) <= definition["retries"]
    return "retrying" if is_tried_again else "failed"


def said(result: str, how: str, status: str) -> str:
    if result == "exit-code":
        return "exit code " + (status or "?")
    return "killed by SIG" + status if how == "killed" and result == "signal" else result


def code_of(result: str, how: str, status: str) -> Optional[int]:
    """Return the exit code as a shell tells it; 124 for a timeout, as timeout(1) does."""
    if result == "timeout":
        return 124
    if how == "exited" and status.isdigit():
        return int(status)
    number = getattr(signal, "SIG" + status, None) if how in ("killed", "dumped") else None
    return 128 + int(number) if number is not None else None


def stay_down(definition: Definition, instance: str) -> None:
    """Keep systemd's Restart= from trying again."""
    import subprocess

    if definition["retries"]:
        unit = "%s@%s.service" % (definition["unit"], instance)
        subprocess.run(["systemctl", "stop", "--no-block", unit], check=False)


def pruned(definition: Definition, runs: List[Run]) -> List[Run]:
    """Return the runs that are remembered: those under way, and the last of either end."""
    keep = definition["keep"]
    good = [run for run in runs if run["state"] == "succeeded"]
    bad = [run for run in runs if run["state"] not in ("succeeded", *LIVE)]
    gone = good[: max(0, len(good) - keep["successful"])]
    gone += bad[: max(0, len(bad) - keep["failed"])]
    # What ran once must be known to have run, and whoever watches the newest see its end.
    kept = [run for run in runs if run["instance"] == definition["once"]] + runs[-1:]
    return [run for run in runs if run in kept or run not in gone]


def last_of(runs: List[Run], instance: str) -> Optional[Run]:
    mine = [run for run in runs if run["instance"] == instance]
    return mine[-1] if mine else None


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def read_runs(definition: Definition) -> List[Run]:
    try:
        with open(runs_path(definition), encoding="utf-8") as file:
            runs: List[Run] = json.load(file)
    except FileNotFoundError:
        return []
    return runs


def write_runs(definition: Definition, runs: List[Run]) -> None:
    write(runs_path(definition), json.dumps(runs).encode(), 0o600)


def write(path: str, data: bytes, mode: int, user: str = "") -> None:
    """Replace `path` so that it is there after a power cut: what ran once must not run again."""
    temporary = path + ".tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
        if user and os.geteuid() == 0:
            os.fchown(fd, pwd.getpwnam(user).pw_uid, -1)
    os.rename(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def runs_path(definition: Definition) -> str:
    return "%s/jobs/%s.runs" % (definition["home"], definition["job"])


def pin_path(definition: Definition, instance: str) -> str:
    return "%s/%s@%s.job" % (definition["run"], definition["job"], instance)


def told_path(definition: Definition, instance: str) -> str:
    return "%s/%s@%s.run" % (definition["run"], definition["job"], instance)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
