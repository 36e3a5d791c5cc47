"""From what a source says about its dependencies to wheels for the host's platform."""

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builds_lab.packages import make_sdist, make_wheel, project_files
from steersman.builds import Build, Builder, BuildSpec, PackageSource, PathSource, Platform
from steersman.builds.errors import DependencyError, IndexUnreachable, PythonMismatch

HERE = Platform.here()
PLAIN = BuildSpec()
OTHER = replace(HERE, python="3.12" if HERE.python != "3.12" else "3.11")


class Bench:
    """A source folder, an index of its own and a builder that knows nothing else."""

    def __init__(self, folder: Path) -> None:
        self.index = folder / "index"
        self.index.mkdir()
        self.src = folder / "src"
        self.src.mkdir()
        self.said: list[str] = []
        self.builder = Builder(
            folder / "cache",
            {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "PIP_CONFIG_FILE": "/dev/null",
                "PIP_NO_INDEX": "1",
                "UV_HTTP_RETRIES": "0",
                "PIP_FIND_LINKS": str(self.index),
            },
        )

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.src / name.replace("__", ".")).write_text(text)

    async def build(self, spec: BuildSpec = PLAIN, platform: Platform = HERE) -> Build:
        source = PathSource(str(self.src))
        resolved = await self.builder.resolve(source)
        return await self.builder.build(resolved, spec, platform, self.said.append)

    async def wheels(self, platform: Platform = HERE) -> list[str]:
        return [wheel.filename for wheel in (await self.build(platform=platform)).manifest.wheels]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_hashed_requirements_file_is_the_lock(bench: Bench) -> None:
    needed = make_wheel(bench.index, "alpha", "1.0", needs=("beta",))
    make_wheel(bench.index, "beta", "1.0")
    bench.write(
        requirements__txt=f"# locked\nalpha==1.0 \\\n    --hash={needed}\n"
        f"gone==1 ; sys_platform == 'win32' --hash={needed}\n"
    )
    build = await bench.build()
    assert [wheel.filename for wheel in build.manifest.wheels] == ["alpha-1.0-py3-none-any.whl"]
    (wheel,) = build.manifest.wheels
    content = bench.builder.blobs.path(wheel.sha256).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (wheel.sha256, wheel.size)
    assert not any("resolving" in line for line in bench.said)


async def test_a_wrong_hash_is_refused(bench: Bench) -> None:
    make_wheel(bench.index, "alpha", "1.0")
    bench.write(requirements__txt=f"alpha==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DependencyError, match="HASHES") as caught:
        await bench.build()
    assert not caught.value.retryable


async def test_unpinned_requirements_are_resolved_once_and_kept(bench: Bench) -> None:
    make_wheel(bench.index, "alpha", "1.0", needs=("beta>=1",))
    make_wheel(bench.index, "beta", "1.0")
    bench.write(requirements__txt="-r more.txt\n", more__txt="alpha\n")
    assert await bench.wheels() == ["alpha-1.0-py3-none-any.whl", "beta-1.0-py3-none-any.whl"]
    make_wheel(bench.index, "alpha", "2.0")
    bench.write(app__py="x = 1\n")
    assert (await bench.wheels())[0] == "alpha-1.0-py3-none-any.whl"
    bench.write(more__txt="alpha>=1\n")
    assert await bench.wheels() == ["alpha-2.0-py3-none-any.whl"]


async def test_a_changed_line_of_code_starts_no_pip(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(bench.index, "alpha", "1.0")
    bench.write(requirements__txt="alpha\n", app__py="x = 1\n")
    first = await bench.build()
    bench.write(app__py="x = 2\n")

    async def refused(*argv: str, **options: object) -> object:
        raise AssertionError(f"started {argv}")

    monkeypatch.setattr("asyncio.create_subprocess_exec", refused)
    second = await bench.build()
    assert second.manifest.wheels == first.manifest.wheels
    assert second.digest != first.digest


async def test_a_package_without_wheels_is_built(bench: Bench) -> None:
    make_wheel(bench.index, "alpha", "1.0", needs=("beta",))
    make_sdist(bench.index, "beta", "1.0")
    make_sdist(bench.index, "gamma", "2.0")
    bench.write(requirements__txt="alpha\ngamma\n")
    assert await bench.wheels() == [
        "alpha-1.0-py3-none-any.whl",
        "beta-1.0-py3-none-any.whl",
        "gamma-2.0-py3-none-any.whl",
    ]


async def test_any_python_builds_what_has_no_machine_code(bench: Bench) -> None:
    hashed = make_sdist(bench.index, "beta", "1.0")
    bench.write(requirements__txt=f"beta==1.0 --hash={hashed}\n")
    assert await bench.wheels(replace(HERE, python="3.99")) == ["beta-1.0-py3-none-any.whl"]


async def test_machine_code_for_another_machine_is_refused(bench: Bench) -> None:
    hashed = make_sdist(bench.index, "beta", "1.0", f"{HERE.interpreter}-none-linux_{HERE.machine}")
    bench.write(requirements__txt=f"beta==1.0 --hash={hashed}\n")
    assert len(await bench.wheels()) == 1
    foreign = replace(HERE, machine="aarch64" if HERE.machine == "x86_64" else "x86_64")
    with pytest.raises(DependencyError, match="has no wheel for the host"):
        await bench.build(platform=foreign)
    older = replace(HERE, libc=(HERE.libc[0], "2.17"))
    with pytest.raises(DependencyError, match=r"does not run on .*2\.17"):
        await bench.build(platform=older)


async def test_wheels_are_chosen_for_the_host_not_for_this_machine(bench: Bench) -> None:
    tag = OTHER.interpreter
    make_wheel(bench.index, "alpha", "1.0", tag=f"{tag}-{tag}-manylinux_2_17_aarch64")
    make_wheel(bench.index, "alpha", "1.0", tag=f"{HERE.interpreter}-none-any")
    bench.write(requirements__txt="alpha\n")
    host = replace(OTHER, machine="aarch64", libc=("glibc", "2.31"))
    assert await bench.wheels(host) == [f"alpha-1.0-{tag}-{tag}-manylinux_2_17_aarch64.whl"]


async def test_pylock_is_read_with_its_markers(bench: Bench) -> None:
    needed = make_wheel(bench.index, "alpha", "1.0")
    old = make_wheel(bench.index, "backport", "1.0")
    wheel = (
        '[[packages.wheels]]\nurl = "https://x/{0}-1.0-py3-none-any.whl"\n'
        'hashes = {{sha256 = "{1}"}}'
    )
    bench.write(
        pylock__toml='lock-version = "1.0"\ncreated-by = "x"\n'
        '[[packages]]\nname = "alpha"\nversion = "1.0"\n'
        + wheel.format("alpha", needed[7:])
        + '\n[[packages]]\nname = "backport"\nversion = "1.0"\n'
        + f"marker = \"python_full_version < '{HERE.python}.3'\"\n"
        + wheel.format("backport", old[7:])
        + '\n[[packages]]\nname = "nt"\nversion = "1.0"\nmarker = "os_name == \'nt\'"\n'
        + wheel.format("nt", "0" * 64)
    )
    assert await bench.wheels() == ["alpha-1.0-py3-none-any.whl", "backport-1.0-py3-none-any.whl"]


async def test_uv_lock_is_exported_without_the_development_group(bench: Bench) -> None:
    make_wheel(bench.index, "alpha", "1.0")
    make_wheel(bench.index, "dev", "1.0")
    (file,) = bench.index.glob("alpha*")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    source = f'source = {{ registry = "{bench.index}" }}\nwheels = [{{ path = '
    bench.write(
        pyproject__toml='[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.9"\n'
        'dependencies = ["alpha"]\n[dependency-groups]\ndev = ["dev"]\n',
        uv__lock='version = 1\nrevision = 3\nrequires-python = ">=3.9"\n'
        '[[package]]\nname = "shop"\nversion = "1"\nsource = { virtual = "." }\n'
        'dependencies = [{ name = "alpha" }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "dev" }]\n'
        f'[[package]]\nname = "alpha"\nversion = "1.0"\n{source}"{file.name}",'
        f' hash = "sha256:{digest}" }}]\n'
        f'[[package]]\nname = "dev"\nversion = "1.0"\n{source}"dev-1.0-py3-none-any.whl",'
        f' hash = "sha256:{digest}" }}]\n',
    )
    assert await bench.wheels() == ["alpha-1.0-py3-none-any.whl"]


async def test_a_project_with_scripts_is_installed_too(bench: Bench) -> None:
    for name, text in project_files("shop", "1.0").items():
        (bench.src / name).write_text(text)
    first = await bench.build()
    assert [wheel.filename for wheel in first.manifest.wheels] == ["shop-1.0-py3-none-any.whl"]
    assert "build" not in {file.path.split("/")[0] for file in first.manifest.files}


async def test_local_packages_of_the_source_become_wheels(bench: Bench) -> None:
    (bench.src / "libs/util").mkdir(parents=True)
    for name, text in project_files("util", "1.0").items():
        (bench.src / "libs/util" / name).write_text(text)
    bench.write(requirements__txt="-e ./libs/util\n.\n")
    bench.write(pyproject__toml='[project]\nname = "shop"\nversion = "1"\n')
    assert await bench.wheels() == ["util-1.0-py3-none-any.whl"]


async def test_a_package_has_wheels_and_an_empty_tree(bench: Bench) -> None:
    make_wheel(bench.index, "alpha", "1.0", needs=("beta",))
    make_wheel(bench.index, "beta", "3.0")
    resolved = await bench.builder.resolve(PackageSource("alpha==1.0"))
    assert (resolved.kind, resolved.commit) == ("package", "alpha==1.0")
    build = await bench.builder.build(resolved, BuildSpec(), HERE, bench.said.append)
    assert build.manifest.files == ()
    assert [wheel.filename[:5] for wheel in build.manifest.wheels] == ["alpha", "beta-"]


@pytest.mark.parametrize(
    "package", ["alpha", "alpha>=1", "alpha==1.*", "alpha @ file:///x", "-r x"]
)
async def test_a_package_source_is_exact(bench: Bench, package: str) -> None:
    with pytest.raises(DependencyError, match="name==1"):
        await bench.builder.resolve(PackageSource(package))


async def test_an_unknown_package_is_final_and_a_dead_index_is_not(bench: Bench) -> None:
    bench.write(requirements__txt="alpha\n")
    with pytest.raises(DependencyError, match="alpha") as caught:
        await bench.build()
    assert not caught.value.retryable
    with pytest.raises(IndexUnreachable):
        await bench.build(BuildSpec(index="http://127.0.0.1:9/simple"))


@pytest.mark.parametrize(
    ("spec", "files", "where"),
    [
        (BuildSpec(python=OTHER.python), {}, "spec.build.python"),
        (BuildSpec(), {"__python-version": f"# pinned\n{OTHER.python}.4\n"}, ".python-version"),
        (BuildSpec(), {"__python-version": "pypy3.10"}, ".python-version"),
        (
            BuildSpec(),
            {"pyproject__toml": '[project]\nname = "x"\nrequires-python = ">=3.99"\n'},
            "requires-python",
        ),
    ],
)
async def test_another_python_is_refused_with_what_the_host_has(
    bench: Bench, spec: BuildSpec, files: dict[str, str], where: str
) -> None:
    bench.write(**files)
    with pytest.raises(PythonMismatch, match=f"the host has Python {HERE.python}") as caught:
        await bench.build(spec)
    assert where in str(caught.value)


async def test_the_hosts_python_is_accepted_in_every_spelling(bench: Bench) -> None:
    bench.write(
        **{"__python-version": f"cpython-{HERE.python}.{sys.version_info.micro}\n"},
        pyproject__toml='[project]\nname = "x"\nversion = "1"\n'
        f'requires-python = ">={HERE.python}.1"\n',
    )
    assert (await bench.build(BuildSpec(python=HERE.python))).manifest.python == HERE.python


async def test_poetrys_own_table_is_refused_with_the_way_out(bench: Bench) -> None:
    bench.write(pyproject__toml='[tool.poetry.dependencies]\nflask = "^3"\n')
    with pytest.raises(DependencyError, match="poetry export"):
        await bench.build()
