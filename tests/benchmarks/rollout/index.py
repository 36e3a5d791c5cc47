"""`python -m benchmarks.rollout.index FOLDER ADDRESS`: wheels over HTTP, for the rivals' uv.

A simple repository (PEP 503) with the metadata of each wheel beside it (PEP 658), so that uv needs
no wheel twice. It prints its port, and ends with its standard input.
"""

import hashlib
import html
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from zipfile import ZipFile

from packaging.utils import parse_wheel_filename

from benchmarks.void import Void

_TESTS = Path(__file__).parents[2]


class _Server(ThreadingHTTPServer):
    # Ten hosts with many connections each come at once.
    request_queue_size = 512


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass


def collect(lock: Path, pip: Path, folder: Path) -> int:
    """Download the lock's wheels for the lab's Python into an index in `folder`; return bytes."""
    files = folder / "files"
    argv = [str(pip), "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    # Debian 12's.
    argv += ["--python-version=3.11", f"--dest={files}", f"--requirement={lock}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Void(f"could not download the wheels of {lock}:\n{done.stderr[-2000:]}")
    wheels = sorted(files.glob("*.whl"))
    for wheel in wheels:
        _list(wheel, folder)
    return sum(wheel.stat().st_size for wheel in wheels)


def _list(wheel: Path, folder: Path) -> None:
    name, version, *_ = parse_wheel_filename(wheel.name)
    with ZipFile(wheel) as archive:
        inside = next(
            n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)
        )
        metadata = archive.read(inside)
    wheel.with_name(f"{wheel.name}.metadata").write_bytes(metadata)
    page = folder / "simple" / name
    page.mkdir(parents=True)
    digest, about = (hashlib.sha256(d).hexdigest() for d in (wheel.read_bytes(), metadata))
    link = f'<a href="/files/{wheel.name}#sha256={digest}" data-core-metadata="sha256={about}">'
    (page / "index.html").write_text(
        f"<!doctype html><title>{name} {version}</title>{link}{html.escape(wheel.name)}</a>\n"
    )


class Index:
    """The index as a process of its own, while the block runs; `url` is what uv is told."""

    def __init__(self, folder: Path, address: str) -> None:
        self._argv = [sys.executable, "-m", __name__, str(folder), address]
        self._address = address
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> "Index":
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, cwd=_TESTS, stdin=pipe, stdout=pipe, text=True)
        port = self._process.stdout.readline().strip() if self._process.stdout else ""
        self.url = f"http://{self._address}:{port}/simple/"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)


def main() -> None:
    folder, address = sys.argv[1:]
    server = _Server((address, 0), partial(_Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
