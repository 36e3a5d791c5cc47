"""Local folders as sources, build steps, the cache and everything hostile about them."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from builds_lab.packages import make_wheel
from builds_lab.repositories import Repository
from steersman.builds import Build, Builder, BuildSpec, FileEntry, PathSource, Platform, Symlink
from steersman.builds.errors import SourceChanged, SourceRefused, StepFailed
from steersman.builds.paths import Tree
from steersman.builds.procfile import parse_procfile

HERE = Platform.here()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.src = folder / "src"
        self.src.mkdir()
        self.said: list[str] = []
        # Steps see what is on the PATH, and may write to a pipe that is there.
        self.door = folder / "door"
        self.door.mkdir()
        self.environ = {
            "PATH": f"{os.environ['PATH']}:{self.door}",
            "HOME": str(folder),
            "AWS_SECRET_ACCESS_KEY": "t0ps3cret",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "index"),
        }
        self.builder = Builder(self.cache, self.environ)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.src / name).parent.mkdir(parents=True, exist_ok=True)
            (self.src / name).write_text(text)

    async def build(self, *steps: str | tuple[str, ...], folder: Path | None = None) -> Build:
        resolved = await self.builder.resolve(PathSource(str(folder or self.src)))
        spec = BuildSpec(steps=steps)
        return await self.builder.build(resolved, spec, HERE, self.said.append)

    def pipe(self, name: str) -> Path:
        """Return a pipe that whoever builds may write to."""
        os.mkfifo(self.door / name)
        (self.door / name).chmod(0o666)
        return self.door / name

    def read(self, build: Build, path: str) -> str:
        file = next(file for file in build.manifest.files if file.path == path)
        return self.builder.blobs.path(file.sha256).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def paths(build: Build) -> list[str]:
    return [file.path for file in build.manifest.files]


async def test_a_plain_folder_is_read_without_leftovers(bench: Bench) -> None:
    bench.write({"a.py": "", ".venv/x": "", "b/__pycache__/x": "", "node_modules/x": "", "b/c": ""})
    os.mkfifo(bench.src / "pipe")
    build = await bench.build()
    assert paths(build) == ["a.py", "b/c"]
    assert build.commit.startswith("local-")
    assert len(build.commit) == len("local-") + 12


async def test_a_work_tree_is_read_as_git_would_commit_it(tmp_path: Path, bench: Bench) -> None:
    repo = Repository(tmp_path / "work")
    repo.commit({"app/a": "1", "app/gone": "", "app/.gitignore": "*.log\n", "other": ""})
    repo.write({"app/new": "", "app/x.log": "", "app/nested/n": ""})
    (repo.folder / "app/gone").unlink()
    Repository(repo.folder / "app/nested").commit({"n": ""})
    assert paths(await bench.build(folder=repo.folder / "app")) == [".gitignore", "a", "new"]


async def test_a_file_behind_a_symlinked_folder_is_not_read(tmp_path: Path, bench: Bench) -> None:
    repo = Repository(tmp_path / "work")
    repo.commit({"d/secret": "in git", "a": ""})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("private")
    (repo.folder / "d/secret").unlink()
    (repo.folder / "d").rmdir()
    (repo.folder / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceRefused, match="leaves the tree"):
        await bench.build(folder=repo.folder)


async def test_the_same_content_has_the_same_digest_anywhere(tmp_path: Path, bench: Bench) -> None:
    bench.write({"b": "2", "a": "1"})
    first = await bench.build()
    twin = tmp_path / "twin"
    twin.mkdir()
    (twin / "a").write_text("1")
    (twin / "b").write_text("2")
    other = Builder(tmp_path / "other-cache", bench.environ)
    resolved = await other.resolve(PathSource(str(twin)))
    again = await other.build(resolved, BuildSpec(), HERE, bench.said.append)
    assert (again.digest, again.commit) == (first.digest, first.commit)
    (twin / "a").chmod(0o755)
    assert (await bench.build(folder=twin)).digest != first.digest


async def test_an_edit_between_resolving_and_building_is_noticed(bench: Bench) -> None:
    bench.write({"a": "1"})
    resolved = await bench.builder.resolve(PathSource(str(bench.src)))
    bench.write({"a": "2"})
    with pytest.raises(SourceChanged) as caught:
        await bench.builder.build(resolved, BuildSpec(), HERE, bench.said.append)
    assert caught.value.retryable


async def test_steps_run_in_a_copy_with_a_clean_environment(bench: Bench) -> None:
    make_wheel(bench.folder / "index", "alpha", "1.0")
    bench.write({"requirements.txt": "alpha\n", "a": "1"})
    build = await bench.build(
        "python -c \"import alpha, os; open('out.txt', 'w').write(alpha.VERSION + os.getcwd())\"",
        ("sh", "-c", "env > env.txt; mkdir node_modules; touch node_modules/x; echo 'two words'"),
    )
    assert paths(build) == ["a", "env.txt", "out.txt", "requirements.txt"]
    assert bench.read(build, "out.txt").startswith("1.0")
    assert not (bench.src / "out.txt").exists()
    seen = dict(line.split("=", 1) for line in bench.read(build, "env.txt").splitlines())
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert seen["HOME"].startswith(str(bench.cache))
    assert "two words" in bench.said


async def test_a_failing_step_says_its_last_lines(bench: Bench) -> None:
    bench.write({"a": "1"})
    with pytest.raises(StepFailed, match="exited 3") as caught:
        await bench.build(("sh", "-c", "seq 1 50; printf 'red \\033[31m\\n' >&2; exit 3"))
    assert len(caught.value.tail) == 20
    assert caught.value.tail[-2:] == ("50", "red \\x1b[31m")
    with pytest.raises(StepFailed, match="no-such-program"):
        await bench.build("no-such-program --x")


async def test_a_step_that_plants_a_way_out_is_refused(bench: Bench) -> None:
    bench.write({"a": "1"})
    with pytest.raises(SourceRefused, match="leaves the tree"):
        await bench.build("ln -s /etc/passwd b")


async def test_steps_cannot_change_blobs(bench: Bench) -> None:
    bench.write({"a": "1"})
    plain = await bench.build()
    await bench.build(("sh", "-c", "echo 2 > a"))
    assert bench.read(plain, "a") == "1"


async def test_a_second_build_does_nothing(bench: Bench) -> None:
    bench.write({"a": "1"})
    step = ("sh", "-c", "echo x >> count")
    first = await bench.build(step)
    assert (
        await Builder(bench.cache, bench.environ).build(
            await bench.builder.resolve(PathSource(str(bench.src))),
            BuildSpec(steps=(step,)),
            HERE,
            bench.said.append,
        )
        == first
    )
    assert bench.said.count("$ sh -c 'echo x >> count'") == 1


async def test_two_builders_at_once_build_once(bench: Bench) -> None:
    bench.write({"a": "1"})
    step = ("sh", "-c", "echo x >> count")
    one, two = await asyncio.gather(bench.build(step), bench.build(step))
    assert one == two
    assert bench.said.count("$ sh -c 'echo x >> count'") == 1


async def test_a_lost_or_torn_blob_is_made_again(bench: Bench) -> None:
    bench.write({"a": "1"})
    build = await bench.build()
    blob = bench.builder.blobs.path(build.manifest.files[0].sha256)
    blob.unlink()
    assert await bench.build() == build
    blob.unlink()
    blob.touch()
    assert await bench.build() == build
    assert blob.read_text() == "1"


async def test_a_cancelled_build_leaves_nothing_and_kills_its_step(bench: Bench) -> None:
    bench.write({"a": "1"})
    started = bench.pipe("started")
    step = ("sh", "-c", f"exec 3> {started}; echo here >&3; exec sleep 600")
    task = asyncio.create_task(bench.build(step))
    with await asyncio.to_thread(started.open) as alive:
        assert await asyncio.to_thread(alive.readline) == "here\n"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The pipe ends when nobody has it any more.
        assert await asyncio.to_thread(alive.read) == ""
    assert list((bench.cache / "tmp").iterdir()) == []
    assert not (bench.cache / "builds").exists()
    await bench.build()


async def test_a_builder_killed_in_a_step_hinders_nobody(bench: Bench) -> None:
    bench.write({"a": "1"})
    started, goes_on = bench.pipe("started"), bench.door / "goes-on"
    wait = f"exec 3> {started}; echo $$ >&3; exec sleep 600"
    script = f"[ -e {goes_on} ] || {{ {wait}; }}; echo 2 > a"
    step = ("sh", "-c", script)
    program = (
        "import asyncio, sys; from pathlib import Path; from steersman.builds import *\n"
        "async def main():\n"
        "    builder = Builder(Path(sys.argv[1]))\n"
        "    resolved = await builder.resolve(PathSource(sys.argv[2]))\n"
        "    spec = BuildSpec(steps=(('sh', '-c', sys.argv[3]),))\n"
        "    await builder.build(resolved, spec, Platform.here(), print)\n"
        "asyncio.run(main())\n"
    )
    argv = (sys.executable, "-c", program, str(bench.cache), str(bench.src), script)
    env = os.environ | {"PATH": bench.environ["PATH"]}
    null = asyncio.subprocess.DEVNULL
    killed = await asyncio.create_subprocess_exec(*argv, stdout=null, env=env)
    with await asyncio.to_thread(started.open) as alive:
        orphan = int(await asyncio.to_thread(alive.readline))
        killed.kill()
        await killed.wait()
        if os.geteuid() != 0:
            os.kill(orphan, signal.SIGKILL)
        assert await asyncio.to_thread(alive.read) == ""
    assert not (bench.cache / "builds").exists()
    goes_on.touch()
    assert bench.read(await bench.build(step), "a") == "2\n"


async def test_what_a_killed_builder_left_is_swept_after_a_day(bench: Bench) -> None:
    bench.write({"a": "1"})
    left = bench.cache / "tmp/scratch-dead/deep"
    left.mkdir(parents=True)
    (left / "x").touch()
    left.chmod(0o500)
    fresh = bench.cache / "tmp/scratch-busy"
    fresh.mkdir()
    old = time.time() - 90_000
    os.utime(left.parent, (old, old))
    await bench.build()
    assert list((bench.cache / "tmp").iterdir()) == [fresh]


async def test_an_edited_record_is_not_believed(bench: Bench) -> None:
    bench.write({"a": "1"})
    build = await bench.build()
    (record,) = (bench.cache / "builds").iterdir()
    for text in (record.read_text().replace('"a"', '"b"'), "{", "[]", ""):
        record.write_text(text)
        assert await bench.build() == build


async def test_no_folder_is_refused(bench: Bench) -> None:
    with pytest.raises(SourceRefused, match=r"correct spec\.source\.path"):
        await bench.build(folder=bench.src / "gone")


@pytest.mark.parametrize(
    ("link", "target", "stays"),
    [
        ("a", "b", True),
        ("a/b", "../c", True),
        ("a/b/c", "../../d/e", True),
        ("a", "gone/x", True),
        ("a", "..", False),
        ("a/b", "../../c", False),
        ("a", "/etc", False),
        ("a", "", False),
        ("a", "x/../../y", False),
        # s leads to the root from deep below, so s/.. is outside although it reads as inside.
        ("a", "deep/er/s/..", False),
        ("a", "b\x1b", False),
    ],
)
def test_symlinks_stay_inside(link: str, target: str, stays: bool) -> None:
    if stays:
        Tree.of("x", [], [Symlink(link, target)])
    else:
        with pytest.raises(SourceRefused, match="leaves the tree"):
            Tree.of("x", [], [Symlink(link, target)])


@pytest.mark.parametrize("path", ["/a", "../a", "a/../b", "a//b", "a/", ".", "", "x" * 256, "a\0b"])
def test_paths_that_are_not_plain_are_refused(path: str) -> None:
    with pytest.raises(SourceRefused):
        Tree.of("x", [FileEntry(path, 0o644, 0, "0" * 64)], [])


def test_one_name_stands_for_one_thing() -> None:
    file = FileEntry("a/b", 0o644, 0, "0" * 64)
    with pytest.raises(SourceRefused, match="twice"):
        Tree.of("x", [file, file], [])
    with pytest.raises(SourceRefused, match="both a file and a folder"):
        Tree.of("x", [file], [Symlink("a", "c")])


@pytest.mark.parametrize("text", ["web gunicorn", "web:", "a b: x", "web: x\nweb: y", "web: \x1bx"])
def test_a_broken_procfile_names_its_line(text: str) -> None:
    with pytest.raises(SourceRefused, match=r"Procfile:\d"):
        parse_procfile("x", text)
