"""A process that has imported steer and forks for each command line: hundreds of them cost little.

What runs is the CLI in a process of its own, with its own environment, which can be killed.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from acceptance.steer import Ran, Steer

_NOT_IMPORTED = ("__main__", "jobrun", "launch", "guard", "remote_loader")


class Zygote:
    """Runs command lines, one at a time; a fork is ended with its zygote."""

    def __enter__(self) -> Zygote:
        code = "from acceptance.zygote import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)

    def run(self, args: Sequence[str], env: Mapping[str, str], cwd: Path) -> Ran:
        """Return how `steer ARGS` ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a zygote is talked to over pipes")
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            asked = {"args": list(args), "env": dict(env), "cwd": str(cwd)}
            self._process.stdin.write(json.dumps({**asked, "ends": [str(out), str(err)]}) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return Ran(code, out.read_text(), err.read_text())


class QuickSteer(Steer):
    """A person whose command lines a zygote runs."""

    zygote: Zygote

    def run(self, *args: str, expect: int | None = 0, env: Mapping[str, str] | None = None) -> Ran:
        ran = self.zygote.run(args, {**self.env, **(env or {})}, self.folder)
        if expect is not None:
            assert ran.code == expect, f"steer {' '.join(args)}: {ran.said}"
        return ran


def serve() -> None:
    """Run what comes on stdin, line by line."""
    import steersman

    for found in pkgutil.walk_packages(steersman.__path__, "steersman."):
        if not found.name.endswith(_NOT_IMPORTED):
            __import__(found.name)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: dict[str, Any]) -> None:
    from steersman.cli.app import main
    from steersman.control import failpoints

    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    failpoints._wanted = os.environ.get("STEER_FAILPOINT", "")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(asked["ends"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.argv = ["steer", *asked["args"]]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
