"""Real daemons that metrics are sent to or read by, from Debian and npm, on loopback."""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from transport_lab import free_port

WITHIN = 90.0
MUNIN_UPDATE = "/usr/share/munin/munin-update"
_STATSD = "statsd@0.9.0"
_LONGEST_ANSWER = 1 << 24
_CACHE = Path(__file__).parents[2] / ".lab" / "statsd"
# A head, the head of its one archive, and 3600 points of 12 bytes.
_WHOLE = 16 + 12 + 3600 * 12


async def until(what: Callable[[], Awaitable[bool]], why: Callable[[], str]) -> None:
    """Wait until `what` is so; fail with what `why` says if it is not in time."""
    deadline = time.monotonic() + WITHIN
    while not await what():
        assert time.monotonic() < deadline, why()
        await asyncio.sleep(0.05)


def needs(command: str, package: str, way: str = "tests/debian-packages does that, as root") -> str:
    """Return the path of `command`, or skip with the reason and the way out."""
    found = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{package} is not installed: {way}")
    return found


@contextmanager
def running(words: Sequence[str], log: Path, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a daemon while the body does."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            words, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until something accepts connections on `port`."""

    async def accepts() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(accepts, log.read_text)


class Carbon:
    """What graphite-carbon is told, and the whisper files it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "carbon.log"
        self.port, self.pickle_port, self.query_port = free_port(), free_port(), free_port()

    def words(self) -> list[str]:
        """Return how to run it, having written its configuration."""
        program = needs("carbon-cache", "graphite-carbon")
        (self.folder / "carbon.conf").write_text(
            f"[cache]\nSTORAGE_DIR = {self.folder}\nCONF_DIR = {self.folder}\n"
            f"LOCAL_DATA_DIR = {self.folder}/whisper/\nLOG_DIR = {self.folder}\n"
            f"PID_DIR = {self.folder}\nUSER =\nENABLE_TAGS = False\n"
            f"MAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf\n"
            f"LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {self.port}\n"
            f"PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {self.pickle_port}\n"
            f"CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {self.query_port}\n"
        )
        (self.folder / "storage-schemas.conf").write_text(
            "[all]\npattern = .*\nretentions = 1s:1h\n"
        )
        config = ["--config", str(self.folder / "carbon.conf")]
        return [program, "--nodaemon", *config, f"--pidfile={self.folder}/pid", "start"]

    def files(self) -> list[str]:
        """Return the whisper files that are whole, by their paths below its folder."""
        below = self.folder / "whisper"
        whole = [file for file in below.rglob("*.wsp") if file.stat().st_size == _WHOLE]
        return sorted(str(file.relative_to(below)) for file in whole)

    def points(self, file: str, begin: float) -> list[float]:
        """Return the values in a whisper file since `begin`, read by whisper's own program."""
        program = needs("whisper-fetch", "python3-whisper")
        words = [program, "--json", f"--from={int(begin) - 1}", str(self.folder / "whisper" / file)]
        told = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        return [value for value in told["values"] if value is not None]


class StatsdServer:
    """Etsy's statsd, asked over its own management port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "statsd.log"
        self.port, self.management = free_port(), free_port()

    def words(self) -> list[str]:
        """Return how to run it, fetched from npm once."""
        node, npm = (needs(one, one, "install Node.js with npm") for one in ("node", "npm"))
        program = _fetched(npm)
        said = {
            "port": self.port,
            "address": "127.0.0.1",
            "mgmt_port": self.management,
            "mgmt_address": "127.0.0.1",
            "flushInterval": 3_600_000,
            "backends": [],
        }
        (self.folder / "statsd.json").write_text(json.dumps(said))
        return [node, str(program), str(self.folder / "statsd.json")]

    async def ask(self, command: str) -> str:
        """Return what it answers to `counters`, `gauges` or `stats`."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.management, limit=_LONGEST_ANSWER
        )
        writer.write(f"{command}\n".encode())
        answer = await reader.readuntil(b"END\n\n")
        writer.close()
        return answer.decode()

    async def wait_for(self, wanted: str, command: str) -> None:
        """Wait until an answer holds `wanted`: nobody is told that a datagram was read."""

        async def has_it() -> bool:
            return wanted in await self.ask(command)

        await until(has_it, lambda: f"{wanted} is not among the {command}")


def _fetched(npm: str) -> Path:
    """Return the program: it is there whole or not at all, whoever else wants it just now."""
    modules = _CACHE / "node_modules"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not modules.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                _install(npm, folder)
                Path(folder, "node_modules").rename(modules)
    return modules / "statsd" / "stats.js"


def _install(npm: str, folder: str) -> None:
    quiet = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    argv = [npm, "install", *quiet, "--prefix", folder, _STATSD]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {_STATSD}: {done.stderr[-200:]}")


class PrometheusServer:
    """Debian's prometheus, which scrapes once a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "prometheus.log"
        self.port = free_port()

    def words(self, target: int, token: str) -> list[str]:
        """Return how to run it, having written its configuration."""
        program = needs("prometheus", "prometheus")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {
                    "job_name": "steersman",
                    "honor_labels": True,
                    "authorization": {"credentials": token},
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        path = self.folder / "prometheus.yml"
        path.write_text(json.dumps(config))
        return [
            program,
            f"--config.file={path}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def url(self, what: str) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/{what}"

    def found(self, answer: httpx.Response) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series that a query found."""
        # It listens before it is ready, and says so in plain words.
        told = answer.json().get("data", {}).get("result", []) if answer.is_success else []
        return [(one["metric"], float(one["value"][1])) for one in told]


class MuninMaster:
    """A munin-update that polls our node once, as cron would have it do."""

    def __init__(self, port: int, nodes: Sequence[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="munin-"))
        for name in ("db", "log", "run", "html"):
            (self.folder / name).mkdir()
        said = [
            f"{key} {self.folder}/{name}"
            for key, name in (
                ("dbdir", "db"),
                ("logdir", "log"),
                ("rundir", "run"),
                ("htmldir", "html"),
            )
        ]
        for node in nodes:
            said += [f"[{node}]", "address 127.0.0.1", f"port {port}", "use_node_name no"]
        (self.folder / "munin.conf").write_text("\n".join(said) + "\n")
        for path in (self.folder, *self.folder.rglob("*")):
            shutil.chown(path, "munin", "munin")

    async def update(self) -> None:
        """Poll all nodes; what goes wrong is in `log`."""
        config = ["--config_file", str(self.folder / "munin.conf"), "--nofork"]
        process = await asyncio.create_subprocess_exec(
            MUNIN_UPDATE, *config, user="munin", group="munin", extra_groups=[]
        )
        assert await process.wait() == 0, self.log()

    def log(self) -> str:
        return (self.folder / "log" / "munin-update.log").read_text()

    def complaints(self) -> list[str]:
        """Return errors and warnings, but that a first run tunes files before it makes them."""
        said = [line for line in self.log().splitlines() if "[ERROR" in line or "[WARN" in line]
        return [line for line in said if "Tuning " not in line]

    def values(self) -> dict[str, str]:
        """Return the last value in each RRD file, by the file's name."""
        program = needs("rrdtool", "rrdtool")
        told: dict[str, str] = {}
        for file in (self.folder / "db").rglob("*.rrd"):
            said = subprocess.run(
                [program, "lastupdate", str(file)], check=True, capture_output=True, text=True
            )
            told[file.stem] = said.stdout.split()[-1]
        return told

    def remove(self) -> None:
        shutil.rmtree(self.folder)
