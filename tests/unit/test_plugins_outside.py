"""A plugin of somebody else's, as plugins/README.md shows it, works once its wheel is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of the README's plugin was installed."""
    folder = tmp_path_factory.mktemp("outside")
    wheel, site = wheel_in(folder), folder / "site"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    install = (*pip, "install", "--no-deps", "--no-index", "--target", site, wheel)
    subprocess.run(install, check=True, capture_output=True)
    return site


def wheel_in(folder: Path) -> Path:
    """Make the wheel as a build backend would: none is installed here, and there is no network."""
    text = (ROOT / "plugins" / "README.md").read_text()
    project = tomllib.loads(_block(text, "toml"))["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    info = f"{name}-{version}.dist-info"
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
        for group, found in project["entry-points"].items()
    ]
    files = {
        "shout.py": _block(text, "python"),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "".join(points),
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD"))
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    return wheel


def _block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


class Outside:
    """The command line with the plugin's folder on PYTHONPATH, and a state folder of its own."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.folder = folder
        self._env = {
            **os.environ,
            "PYTHONPATH": str(site),
            "STEER_STATE_DIR": str(folder / "state"),
            "XDG_STATE_HOME": str(folder / "xdg"),
        }

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        state = ["--state-dir", str(self.folder / "state"), "--context", "local"]
        argv = [sys.executable, "-m", "steersman.cli", *args, *state]
        return subprocess.run(argv, env=self._env, capture_output=True, text=True, check=False)

    def apply(self, *specs: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
        """Apply plugins p0, p1 and so on."""
        manifests = [
            {
                "apiVersion": "steersman/v1",
                "kind": "Plugin",
                "metadata": {"name": f"p{number}"},
                "spec": dict(spec),
            }
            for number, spec in enumerate(specs)
        ]
        (self.folder / "plugin.yaml").write_text(yaml.safe_dump_all(manifests))
        return self("apply", "-f", str(self.folder / "plugin.yaml"))


@pytest.fixture
def outside(site: Path, tmp_path: Path) -> Outside:
    return Outside(site, tmp_path)


def test_it_is_listed_admitted_and_ships(outside: Outside, tmp_path: Path) -> None:
    out = tmp_path / "loud.txt"
    applied = outside.apply({"type": "shout", "config": {"path": str(out)}})
    assert applied.returncode == 0, applied.stderr
    assert "plugin/p0 created" in applied.stdout
    probed = outside("plugin", "test", "p0")
    assert probed.returncode == 0, probed.stderr
    assert re.fullmatch(r"events: shipped in \d+ ms\n", probed.stdout)
    assert out.read_text() == "Plugin/p0: A PROBE BY `STEER PLUGIN TEST P0`!\n"
    listed = outside("plugin", "list").stdout
    row = next(line for line in listed.splitlines() if line.startswith("shout"))
    assert re.split(r" {2,}", row)[1] == "events"
    assert "steersman-shout 1.0" in row
    assert "in which everything that happens is shouted" in row
    described = outside("describe", "plugin/p0").stdout
    assert re.search(r"Config:\s+path=", described)
    deleted = outside("delete", "plugin/p0")
    assert (deleted.returncode, "plugin/p0 deleted" in deleted.stdout) == (0, True)


def test_what_does_not_fit_is_refused_with_every_reason(outside: Outside) -> None:
    wrong: dict[str, dict[str, object]] = {
        "spec.type: there is no plugin of type 'shuot'": {"type": "shuot"},
        "did you mean shout?": {"type": "shuot"},
        "spec.config.path: Field required": {"type": "shout"},
        "spec.config.path: Input should be a valid str": {"type": "shout", "config": {"path": 7}},
        "spec.config.pth: Extra": {"type": "shout", "config": {"path": "x", "pth": 1}},
        "spec.signals: found logs; allowed: events": {
            "type": "shout", "config": {"path": "x"}, "signals": ["logs"],
        },
        "spec.config.path takes from secret s, which does not exist": {
            "type": "shout", "config": {"path": {"secret": "s", "key": "PATH"}},
        },
    }  # fmt: skip
    applied = outside.apply(*wrong.values())
    assert applied.returncode == 1
    for number, said in enumerate(wrong):
        assert any(
            f"plugin p{number}: " in line and said in line for line in applied.stderr.splitlines()
        ), (said, applied.stderr)
    assert outside("get", "plugins").stdout == ""


def test_a_failed_probe_says_why(outside: Outside, tmp_path: Path) -> None:
    outside.apply({"type": "shout", "config": {"path": str(tmp_path / "none" / "out")}})
    probed = outside("plugin", "test", "plugin/p0")
    assert probed.returncode == 1
    assert "events: " in probed.stdout
    assert "No such file or directory" in probed.stdout
    assert "1 of 1 probes" in probed.stderr
