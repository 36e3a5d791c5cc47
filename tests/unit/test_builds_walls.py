"""What a build's own code cannot do where builds have walls: as root."""

import asyncio
import os
from pathlib import Path

import pytest

from steersman.builds import Builder, BuildSpec, PathSource, Platform
from steersman.builds.errors import DependencyError

HERE = Platform.here()
SECRET = "AGE-SECRET-KEY-1"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give builds walls")


class Bench:
    """A builder beside a state folder that, by mistake, everybody may read."""

    def __init__(self, folder: Path) -> None:
        # All of it is shown, as a folder of programs would be.
        self.home = folder / "home"
        self.state, self.cache, self.src = self.home / "state", self.home / "cache", folder / "src"
        for each in (self.state, self.src):
            each.mkdir(parents=True)
        for each in (folder, self.home, self.state):
            each.chmod(0o755)
        (self.state / "age.key").write_text(SECRET)
        (self.src / "a").write_text("1")
        path = f"{os.environ['PATH']}:{self.home}"
        environ = {"PATH": path, "HOME": str(folder), "TOKEN": SECRET, "PIP_NO_INDEX": "1"}
        self.builder = Builder(self.cache, environ | {"STEER_STATE_DIR": str(self.state)})
        self.said: list[str] = []

    async def run(self, script: str) -> str:
        """Build with a script as its step; return what it wrote."""
        resolved = await self.builder.resolve(PathSource(str(self.src)))
        spec = BuildSpec(steps=(("sh", "-c", script),))
        await self.builder.build(resolved, spec, HERE, self.said.append)
        return "\n".join(line for line in self.said if not line.startswith("$ "))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_step_finds_neither_state_nor_environment_nor_other_builds(bench: Bench) -> None:
    other = bench.cache / "tmp/scratch-of-another"
    other.mkdir(parents=True, mode=0o755)
    (other / "source").write_text(SECRET)
    bench.cache.chmod(0o755)
    said = await bench.run(
        f"ls -d {bench.home}; cat {bench.state}/* {other}/* {bench.cache}/*; env;"
        " cat /proc/[0-9]*/environ; cat /etc/shadow; ls /run /home /var/lib /srv; id -u; true"
    )
    assert str(bench.home) in said
    assert SECRET not in said
    assert "root:" not in said
    assert said.count("No such file") == 6
    assert int(said.split("\n")[-1]) >= 1_900_000_000


async def test_a_step_changes_nothing_of_the_machine(bench: Bench) -> None:
    await bench.run(f"touch {bench.home}/x {bench.state}/y /usr/z /etc/z; touch /tmp/mine; true")
    assert not list(bench.home.glob("x"))
    assert [each.name for each in bench.state.iterdir()] == ["age.key"]
    assert not any(Path(each).exists() for each in ("/usr/z", "/etc/z", "/tmp/mine"))


async def test_a_step_leaves_no_process_behind(bench: Bench) -> None:
    pipe = bench.home / "alive"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    # The step ends as soon as what it leaves has spoken.
    left = "setsid sh -c 'echo here >&3; echo > /tmp/spoken; exec sleep 600'"
    script = f"mkfifo /tmp/spoken; exec 3> {pipe}; {left} & read line < /tmp/spoken"
    task = asyncio.create_task(bench.run(script))
    with await asyncio.to_thread(pipe.open) as alive:
        await task
        # It ends when nobody has it any more.
        assert await asyncio.to_thread(alive.read) == "here\n"


async def test_a_package_is_built_behind_the_same_walls(bench: Bench) -> None:
    (bench.src / "requirements.txt").write_text("./inner\n")
    (bench.src / "inner").mkdir()
    (bench.src / "inner/pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    key = str(bench.state / "age.key")
    (bench.src / "inner/backend.py").write_text(
        "import os\n"
        "def get_requires_for_build_wheel(settings=None):\n"
        f"    sees = os.path.exists({key!r})\n"
        "    raise SystemExit(f'{os.getuid()} sees {sees}')\n"
    )
    with pytest.raises(DependencyError, match=r"19\d{8} sees False"):
        await bench.run("true")
