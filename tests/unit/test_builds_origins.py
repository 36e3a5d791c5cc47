"""A wheel that one app's index served is not what another app gets."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from builds_lab.packages import backend_code, make_sdist_for, make_wheel
from steersman.builds import BlobStore, Builder, BuildSpec, PathSource, Platform, Wheel
from steersman.builds.cache import Cache
from steersman.builds.cells import Cells, Walls
from steersman.builds.requirements import Lock, Pin
from steersman.builds.tools import Tools
from steersman.builds.wheels import WheelHouse

HERE = Platform.here()
ALPHA = Pin("alpha", "1.0")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder: its listing of a package is a page of an index."""

    def log_message(self, *args: object) -> None:
        return


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the packages in `folder`; yield the line that says so."""
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"--index-url http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class Bench:
    """Two indexes, `good` and `evil`, and one cache for all apps of this machine."""

    def __init__(self, folder: Path, good: str, evil: str) -> None:
        self.folder, self.good, self.evil = folder, good, evil
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        self.cache = folder / "cache"
        self.cache.mkdir()

    def made(self, name: str, *needs: str) -> dict[str, str]:
        """Put a package of that name into both indexes; return the hash in each."""
        return {
            each: make_wheel(
                self.folder / each / name,
                name,
                "1.0",
                tag="py3-none-any",
                needs=needs,
                code=f"# {each}\n",
            )
            for each in ("good", "evil")
        }

    async def wheel(self, pin: Pin, *origins: str) -> Wheel:
        cache, blobs = Cache(self.cache), BlobStore(self.cache)
        cells, tools = Cells(Walls(cache, self.environ, "preferred")), Tools(self.environ)
        house = WheelHouse(cache, cells, blobs, tools, HERE, None)
        (wheel,) = await house.collect(Lock((pin,), (), origins), self.folder, lambda line: None)
        return wheel

    async def installed(self, app: str, *lines: str) -> bytes:
        """Build an app with these requirements; return its only wheel."""
        source = self.folder / app
        source.mkdir(exist_ok=True)
        (source / "requirements.txt").write_text("\n".join(lines) + "\n")
        builder = Builder(self.cache, self.environ)
        resolved = await builder.resolve(PathSource(str(source)))
        build = await builder.build(resolved, BuildSpec(), HERE, lambda line: None)
        (wheel,) = build.manifest.wheels
        return builder.blobs.path(wheel.sha256).read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        folders = [tmp_path / "good", tmp_path / "evil"]
        for folder in folders:
            folder.mkdir()
        yield Bench(tmp_path, *[stack.enter_context(served(folder)) for folder in folders])


def digests(made: dict[str, str]) -> Sequence[str]:
    return [each.removeprefix("sha256:") for each in made.values()]


async def test_each_index_has_its_own_wheel_of_one_name_and_version(bench: Bench) -> None:
    good, evil = digests(bench.made("alpha"))
    assert (await bench.wheel(ALPHA, bench.evil)).sha256 == evil
    assert (await bench.wheel(ALPHA, bench.good)).sha256 == good
    # What each serves is remembered: it is not asked again.
    (bench.folder / "evil/alpha/alpha-1.0-py3-none-any.whl").unlink()
    assert (await bench.wheel(ALPHA, bench.evil)).sha256 == evil


async def test_a_wheel_that_is_what_its_hash_says_serves_every_app(bench: Bench) -> None:
    hashed = bench.made("alpha")
    pin = Pin("alpha", "1.0", (hashed["good"],))
    await bench.wheel(pin, bench.good)
    nowhere = "--index-url http://127.0.0.1:9/"
    assert f"sha256:{(await bench.wheel(pin, nowhere)).sha256}" == hashed["good"]


async def test_a_folder_of_a_source_is_nobody_elses(bench: Bench) -> None:
    good, evil = digests(bench.made("alpha"))
    for digest, place in ((evil, "evil"), (good, "good")):
        (bench.folder / "wheels").unlink(missing_ok=True)
        (bench.folder / "wheels").symlink_to(bench.folder / place / "alpha")
        found = await bench.wheel(ALPHA, "--no-index", "--find-links wheels")
        assert found.sha256 == digest


async def test_what_one_index_built_a_package_with_stays_with_its_apps(bench: Bench) -> None:
    for each in ("good", "evil"):
        code = backend_code("beta", "1.0").replace("VERSION = '1.0'", f"MAKER = '{each}'")
        make_wheel(bench.folder / each / "maker", "maker", "1.0", code=code)
        hashed = make_sdist_for("maker", bench.folder / each / "beta", "beta", "1.0")
    line = f"beta==1.0 --hash={hashed}"
    assert b"MAKER = 'evil'" in await bench.installed("hostile", bench.evil, line)
    assert b"MAKER = 'good'" in await bench.installed("shop", bench.good, line)


async def test_resolving_a_folder_of_a_source_says_nothing_of_another_ones(bench: Bench) -> None:
    bench.made("alpha")
    for app in ("evil", "good"):
        source = bench.folder / f"{app}-app"
        (source / "wheels").mkdir(parents=True)
        (bench.folder / app / "alpha/alpha-1.0-py3-none-any.whl").rename(
            source / "wheels/alpha-1.0-py3-none-any.whl"
        )
        wheel = await bench.installed(source.name, "--no-index", "--find-links ./wheels", "alpha")
        assert f"# {app}".encode() in wheel
