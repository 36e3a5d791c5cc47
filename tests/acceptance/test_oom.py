"""What the kernel ends when memory runs out is told as that, from a host with its own kernel."""

from functools import partial
from pathlib import Path

import pytest

from acceptance.book import Book, Error
from acceptance.daemon import serving
from acceptance.steer import Repo, Steer, app
from lab.commands import wait_until
from lab.lab import Lab

pytestmark = pytest.mark.lab

HUNGRY = "/srv/steersman/apps/guests/shared"
GUESTS = """
'''Eats all the memory it may have when it is told to: itself, or by a child.'''

import os
import signal
from pathlib import Path

ASKED = [signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_BLOCK, ASKED)
Path(os.environ["HOME"], os.environ["STEER_PROCESS"]).touch()
if signal.sigwait(ASKED) == signal.SIGUSR2 and os.fork() > 0:
    signal.pause()
print("guests are at the door", flush=True)
kept = [bytearray(1 << 20) for _ in range(1024)]
print("fed", len(kept), flush=True)
"""


def test_memory_that_ran_out_is_an_error_of_its_own(
    own_kernel: Lab, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (host,) = own_kernel.hosts
    steer = Steer(tmp_path_factory.mktemp("steer"), cache, own_kernel)
    repo = Repo(tmp_path_factory.mktemp("repos") / "guests", {"eater.py": GUESTS, "VERSION": "1\n"})
    commit = repo.commit({})
    processes = {
        name: {"command": "python eater.py", "limits": {"memory": "64M"}}
        for name in ("alone", "child")
    }
    steer.apply(*steer.hosts())
    with serving(steer):
        book = Book(steer)
        # An app that comes while a daemon listens is heard from its first line on.
        steer.apply(app("guests", repo, routes=[], processes=processes))
        wait_until(lambda: host.run(["ls", HUNGRY]).split() == [*processes], "who can be told")
        for process, signal in (("alone", "USR1"), ("child", "USR2")):
            unit = f"steersman-guests.{process}.g1@1.service"
            host.run(["systemctl", "kill", "--kill-whom=main", f"--signal={signal}", unit])
            wait_until(partial(told, book, process), f"the end of {process}")
        ended = {name: error for name in processes for error in told(book, name)}
        assert book.errors("crash") == []
        shown = steer.run("get", "errors").out
    for process, error in ended.items():
        spec = error["spec"]
        assert spec["title"] == f"{process} ended because memory ran out"
        assert (spec["host"], spec["app"], spec["release"]) == (host.name, "guests", 1)
        assert spec["commit"] == commit
        assert spec["exited"]["signal"] == "SIGKILL"
        assert [each["text"] for each in spec["breadcrumbs"]][-1] == "guests are at the door"
        assert spec["title"] in shown


def told(book: Book, process: str) -> list[Error]:
    return [each for each in book.errors("oom") if each["spec"]["process"] == process]
