"""Where builds can have no walls: refused, or said plainly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from builds_lab.packages import make_wheel
from laws.fake_host import FakeHost
from laws.fleet import FakeArtifacts, Fleet, controller
from laws.test_planning import app_of
from steersman.api.app import Build as Spec
from steersman.builds import Build, Builder, BuildSpec, PathSource, Platform, Policy
from steersman.builds.errors import WallsMissing
from steersman.control.artifacts import Artifacts
from steersman.server.walls import tell_of_walls
from steersman.store.sqlite import SqliteStore

HERE = Platform.here()
STEP = BuildSpec(steps=(("touch", "made"),))


class Bench:
    """A source of one file; builders of any policy share a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.src, self.said = folder, folder / "src", list[str]()
        self.src.mkdir()
        (self.src / "a").write_text("1")

    def builder(self, walls: Policy) -> Builder:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIP_NO_INDEX": "1"}
        environ["PIP_FIND_LINKS"] = str(self.folder / "index")
        return Builder(self.folder / "cache", environ, walls)

    async def build(self, walls: Policy, spec: BuildSpec = STEP) -> Build:
        builder = self.builder(walls)
        resolved = await builder.resolve(PathSource(str(self.src)))
        return await builder.build(resolved, spec, HERE, self.said.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be no root, as far as anybody asks."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("nobody")
async def test_required_walls_refuse_the_step_and_leave_nothing(bench: Bench) -> None:
    with pytest.raises(WallsMissing, match=r"this is not root; .*walls: preferred") as caught:
        await bench.build("required")
    assert not caught.value.retryable
    assert not any(line.startswith("$ ") for line in bench.said)
    assert not list((bench.folder / "cache").glob("builds/*"))


@pytest.mark.usefixtures("nobody")
async def test_what_runs_no_program_of_strangers_needs_no_walls(bench: Bench) -> None:
    hashed = make_wheel(bench.folder / "index", "alpha", "1.0")
    (bench.src / "requirements.txt").write_text(f"alpha==1.0 --hash={hashed}\n")
    build = await bench.build("required", BuildSpec())
    assert len(build.manifest.wheels) == 1
    assert build.unwalled is None


async def test_a_build_says_that_it_had_no_walls_and_is_not_what_required_asks_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as nobody:
        nobody.setattr(os, "geteuid", lambda: 1000)
        assert (await bench.build("preferred")).unwalled == "this is not root"
        # As it was remembered too.
        assert (await bench.build("preferred")).unwalled == "this is not root"
        with pytest.raises(WallsMissing):
            await bench.build("required")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give builds walls")
def test_a_root_without_namespaces_is_no_better_off(bench: Bench) -> None:
    program = (
        "import asyncio, json, sys\nfrom pathlib import Path\n"
        "from steersman.builds import Builder\nfrom steersman.control.artifacts import Artifacts\n"
        "print(json.dumps(asyncio.run(Artifacts(Builder(Path(sys.argv[1]))).walls_missing())))\n"
    )
    argv = [sys.executable, "-c", program, str(bench.folder / "cache")]
    missing = {
        word: json.loads(subprocess.run([*words, *argv], capture_output=True, check=True).stdout)
        for word, words in (("with", []), ("without", ["setpriv", "--bounding-set=-sys_admin"]))
    }
    assert missing["with"] is None
    assert "unshare: Operation not permitted" in missing["without"]


@pytest.mark.usefixtures("nobody")
async def test_progress_says_it_and_each_app_has_it_told_once(bench: Bench) -> None:
    artifacts = Artifacts(bench.builder("preferred"))
    builder = bench.builder("preferred")
    resolved = await builder.resolve(PathSource(str(bench.src)))
    build = await artifacts.build(resolved, Spec(steps=("touch made",)), HERE, bench.said.append)
    assert "built without walls: this is not root" in bench.said[-1]
    news = artifacts.news("shop", build)
    assert news is not None and "this is not root" in news
    assert artifacts.news("shop", build) is None
    assert artifacts.news("blog", build) == news


async def test_an_app_has_an_event_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    news = iter(["built without walls: why"])
    monkeypatch.setattr(FakeArtifacts, "news", lambda *_: next(news, None))
    fleet = Fleet({"h1": FakeHost()})
    async with SqliteStore(tmp_path / "state") as store:
        run, memory = controller(fleet, store)
        for host in fleet.documents():
            await memory.put(host)
        await memory.put(app_of(source={"path": "/src/good"}))
        await run.reconcile("shop")
        told = [each for each in await store.events("App", "shop", 100) if "walls" in each.message]
    assert [(each.type, each.reason) for each in told] == [("Warning", "BuiltWithoutWalls")]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("policy", "event"),
    [
        ("required", "builds_without_walls_refused"),
        ("preferred", "builds_run_without_walls"),
    ],
)
async def test_a_daemon_says_at_its_start_how_builds_run(
    bench: Bench, policy: Policy, event: str
) -> None:
    with capture_logs() as logged:
        await tell_of_walls(Artifacts(bench.builder(policy)), policy)
    (told,) = logged
    assert (told["event"], told["why"]) == (event, "this is not root")
    assert "serve.yaml" in told["way_out"]
