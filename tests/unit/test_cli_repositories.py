"""What steer says of repositories: the table, the description, and a look on demand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builds_lab.repositories import Repository
from steersman.cli.app import run

HOST = "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: h1}\nspec: {address: h1.example}\n"


@pytest.fixture
def sources(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "fleet")


Steer = Callable[..., str]


@pytest.fixture
def steer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Steer:
    """Run steer in this process; what it keeps is in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def ran(*words: str, code: int = 0) -> str:
        found = run(words)
        said = capsys.readouterr()
        assert found == code, said
        return said.out + said.err

    return ran


def test_a_repository_is_followed_shown_and_forgotten(
    tmp_path: Path, sources: Repository, steer: Steer
) -> None:
    commit = sources.commit({"h1.yaml": HOST}, "A first host")
    spec = f"spec: {{url: {sources.folder}, interval: 5m}}"
    manifest = tmp_path / "fleet.yaml"
    manifest.write_text(
        f"apiVersion: steersman/v1\nkind: Repository\nmetadata: {{name: fleet}}\n{spec}\n"
    )
    assert "repository/fleet created" in steer("apply", "-f", "fleet.yaml")
    assert "Pending" in steer("get", "repositories")
    said = steer("reconcile", "repository/fleet")
    assert "host/h1 created" in said
    assert f"repository/fleet: commit {commit[:12]}" in said
    row = steer("get", "repo", "-o", "wide").splitlines()[1].split()
    assert row[:5] == ["fleet", "Ready", "main", commit[:10], "no"]
    described = steer("describe", "repository/fleet")
    assert f"Applied:      {commit} A first host" in described
    assert "Objects:      host/h1" in described
    sources.commit({"h1.yaml": HOST + "oops\n"})
    assert "h1.yaml:6:" in steer("reconcile", "repository/fleet", code=1)
    described = steer("describe", "repository/fleet")
    assert "ManifestErrors" in described
    assert "Newest:" in described
    assert "deleted" in steer("delete", "repository/fleet")
    assert "h1" in steer("get", "hosts")
    assert "not known" in steer("reconcile", "repository/fleet", code=1)
    assert "only repositories and apps" in steer("reconcile", "host/h1", code=2)
