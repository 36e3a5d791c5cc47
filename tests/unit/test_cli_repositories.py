"""What steer says of repositories: the table, the description, and a look on demand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builds_lab.repositories import Repository

HOST = "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: h1}\nspec: {address: h1.example}\n"


@pytest.fixture
def sources(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "fleet")


def steer(folder: Path, *words: str, code: int = 0) -> str:
    """Run steer with all that it keeps in `folder`; return what it printed."""
    homes = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache")}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **homes}
    done = subprocess.run(
        [sys.executable, "-m", "steersman.cli", *words],
        env=env,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_repository_is_followed_shown_and_forgotten(tmp_path: Path, sources: Repository) -> None:
    commit = sources.commit({"h1.yaml": HOST}, "A first host")
    spec = f"spec: {{url: {sources.folder}, interval: 5m}}"
    manifest = tmp_path / "fleet.yaml"
    manifest.write_text(
        f"apiVersion: steersman/v1\nkind: Repository\nmetadata: {{name: fleet}}\n{spec}\n"
    )
    assert "repository/fleet created" in steer(tmp_path, "apply", "-f", "fleet.yaml")
    assert "Pending" in steer(tmp_path, "get", "repositories")
    said = steer(tmp_path, "reconcile", "repository/fleet")
    assert "host/h1 created" in said
    assert f"repository/fleet: commit {commit[:12]}" in said
    row = steer(tmp_path, "get", "repo", "-o", "wide").splitlines()[1].split()
    assert row[:5] == ["fleet", "Ready", "main", commit[:10], "no"]
    described = steer(tmp_path, "describe", "repository/fleet")
    assert f"Applied:      {commit} A first host" in described
    assert "Objects:      host/h1" in described
    sources.commit({"h1.yaml": HOST + "oops\n"})
    assert "h1.yaml:6:" in steer(tmp_path, "reconcile", "repository/fleet", code=1)
    described = steer(tmp_path, "describe", "repository/fleet")
    assert "ManifestErrors" in described
    assert "Newest:" in described
    assert "deleted" in steer(tmp_path, "delete", "repository/fleet")
    assert "h1" in steer(tmp_path, "get", "hosts")
    assert "not known" in steer(tmp_path, "reconcile", "repository/fleet", code=1)
    assert "only repositories and apps" in steer(tmp_path, "reconcile", "host/h1", code=2)
