"""Resolving and reading git repositories, local and over HTTPS."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from builds_lab.https_git import GitServer, serve_git
from builds_lab.repositories import Repository
from steersman.builds import Builder, BuildSpec, GitSource, Platform
from steersman.builds.errors import RefNotFound, SourceRefused, SourceUnreachable

HERE = Platform.here()


def ignore(line: str) -> None:
    pass


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "cache", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})


@pytest.fixture
def remote(tmp_path: Path, repo: Repository) -> Iterator[tuple[GitServer, Builder]]:
    with serve_git(tmp_path, tmp_path) as (server, certificate):
        environ = {"PATH": os.environ["PATH"], "GIT_SSL_CAINFO": str(certificate)}
        yield server, Builder(tmp_path / "cache", environ)


def count_spawns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import asyncio

    spawned: list[str] = []
    spawn = asyncio.create_subprocess_exec

    async def counting(*argv: str, **options: Any) -> object:
        spawned.append(" ".join(argv))
        return await spawn(*argv, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counting)
    return spawned


async def test_a_branch_a_tag_and_a_commit_all_resolve(repo: Repository, builder: Builder) -> None:
    first = repo.commit({"a": "1"}, "first")
    repo.git("tag", "-a", "v1", "-m", "annotated")
    second = repo.commit({"a": "2"}, "second one\n\nwith a body")
    url = str(repo.folder)
    for ref, sha in [
        ("main", second),
        ("HEAD", second),
        ("refs/heads/main", second),
        ("v1", first),
        (first, first),
        (first[:8], first),
    ]:
        assert (await builder.resolve(GitSource(url, ref))).commit == sha, ref
    resolved = await builder.resolve(GitSource(f"file://{url}", "main"))
    assert resolved.subject == "second one"
    assert resolved.authored == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def test_a_branch_named_like_a_commit_does_not_take_its_place(
    repo: Repository, builder: Builder
) -> None:
    good = repo.commit({"a": "good"})
    evil = repo.commit({"a": "evil"})
    repo.git("update-ref", f"refs/heads/{good}", evil)
    assert (await builder.resolve(GitSource(str(repo.folder), good))).commit == good


async def test_a_branch_wins_over_a_tag_of_the_same_name(
    repo: Repository, builder: Builder
) -> None:
    repo.commit({"a": "1"})
    repo.git("tag", "main")
    second = repo.commit({"a": "2"})
    assert (await builder.resolve(GitSource(str(repo.folder), "main"))).commit == second


async def test_an_unknown_ref_names_its_neighbours(repo: Repository, builder: Builder) -> None:
    repo.commit({"a": "1"})
    repo.git("branch", "release-2")
    with pytest.raises(RefNotFound, match=r"did you mean release-2\?.*one of: main, release-2"):
        await builder.resolve(GitSource(str(repo.folder), "relaese-2"))


async def test_resolving_a_local_repository_again_is_one_process(
    repo: Repository, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"a": "1"})
    spawned = count_spawns(monkeypatch)
    await builder.resolve(GitSource(str(repo.folder), "main"))
    assert len(spawned) == 1


@pytest.mark.parametrize(
    "ref", ["-upload-pack=touch", "a..b", "main@{1}", "main:secret", "a b", "x\ny", "", "@", "a~1"]
)
async def test_what_is_no_ref_is_refused(repo: Repository, builder: Builder, ref: str) -> None:
    repo.commit({"a": "1"})
    with pytest.raises(SourceRefused, match="is no ref"):
        await builder.resolve(GitSource(str(repo.folder), ref))


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "git://example.com/x",
        "http://example.com/x",
        "-oProxyCommand=x:y",
        "ssh://-oProxyCommand=x/y",
        "fd::3",
        "file://host/x",
    ],
)
async def test_other_transports_are_refused(builder: Builder, url: str) -> None:
    with pytest.raises(SourceRefused, match="only https, ssh and file"):
        await builder.resolve(GitSource(url))


async def test_no_repository_is_unreachable_and_its_parent_does_not_stand_in(
    repo: Repository, builder: Builder
) -> None:
    repo.commit({"inner/a": "1"})
    with pytest.raises(SourceUnreachable, match="not a git repository"):
        await builder.resolve(GitSource(str(repo.folder / "inner")))


async def test_a_tree_is_read_with_modes_links_and_a_subfolder(
    repo: Repository, builder: Builder
) -> None:
    repo.write({"app/run.sh": "#!/bin/sh\n", "app/data/x.txt": "x" * 700_000, "other": "no"})
    (repo.folder / "app/run.sh").chmod(0o755)
    (repo.folder / "app/link").symlink_to("data/x.txt")
    (repo.folder / "app/data/up").symlink_to("../run.sh")
    repo.commit({"app/Procfile": "# the site\nweb: gunicorn shop.wsgi\n\nworker:  celery -A x\n"})
    resolved = await builder.resolve(GitSource(str(repo.folder), "main", "./app/"))
    manifest = (await builder.build(resolved, BuildSpec(), HERE, ignore)).manifest
    files = [(file.path, file.mode, file.size) for file in manifest.files]
    assert [file[:2] for file in files] == [
        ("Procfile", 0o644),
        ("data/x.txt", 0o644),
        ("run.sh", 0o755),
    ]
    assert files[1][2] == 700_000
    assert [(s.path, s.target) for s in manifest.symlinks] == [
        ("data/up", "../run.sh"),
        ("link", "data/x.txt"),
    ]
    assert manifest.procfile == {"web": "gunicorn shop.wsgi", "worker": "celery -A x"}
    assert builder.blobs.path(manifest.files[0].sha256).read_text().startswith("# the site")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([("120000", b"out", b"/etc/passwd")], "leaves the tree"),
        ([("120000", b"out", b"..")], "leaves the tree"),
        ([("120000", b"out", b"a/../../x")], "leaves the tree"),
        ([("100644", b"a\x1b[2J", b"")], "control characters"),
        ([("100644", b"a\nb", b"")], "control characters"),
        ([("100644", b"\xff\xfe", b"")], "not UTF-8"),
        ([("100644", "e\u0301".encode(), b"")], "NFC"),
    ],
)
async def test_hostile_trees_are_refused(
    repo: Repository, builder: Builder, entries: list[tuple[str, bytes, bytes]], why: str
) -> None:
    repo.commit_raw(entries)
    resolved = await builder.resolve(GitSource(str(repo.folder), "hostile"))
    with pytest.raises(SourceRefused, match=why) as caught:
        await builder.build(resolved, BuildSpec(), HERE, ignore)
    assert str(caught.value).isprintable()


async def test_submodules_are_left_out_and_named(repo: Repository, builder: Builder) -> None:
    sha = repo.commit({"a": "1"})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{sha},vendor/lib")
    repo.git("commit", "-q", "-m", "submodule")
    resolved = await builder.resolve(GitSource(str(repo.folder)))
    said: list[str] = []
    build = await builder.build(resolved, BuildSpec(), HERE, said.append)
    assert [file.path for file in build.manifest.files] == ["a"]
    assert any("vendor/lib" in line for line in said)


async def test_a_repository_runs_nothing_of_its_own(repo: Repository, builder: Builder) -> None:
    """Filters, hooks and fsmonitor of a hostile repository stay unused."""
    repo.commit({"a": "1", ".gitattributes": "* filter=evil\n"})
    trap = repo.folder / "trap"
    for name in ("core.fsmonitor", "filter.evil.smudge", "filter.evil.clean", "core.sshCommand"):
        repo.git("config", name, f"touch {trap}")
    resolved = await builder.resolve(GitSource(str(repo.folder)))
    await builder.build(resolved, BuildSpec(), HERE, ignore)
    assert not trap.exists()


async def test_over_https_only_what_is_new_is_fetched(
    repo: Repository, remote: tuple[GitServer, Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, builder = remote
    source = GitSource(f"{server.url}/repo/.git", "main")
    repo.commit({"old": "0"})
    sha = repo.commit({"a": "1"}, "over the wire")
    resolved = await builder.resolve(source)
    assert (resolved.commit, resolved.subject) == (sha, None)
    build = await builder.build(resolved, BuildSpec(), HERE, ignore)
    assert (build.commit, build.subject) == (sha, "over the wire")
    server.requests.clear()
    spawned = count_spawns(monkeypatch)
    again = await builder.resolve(source)
    assert again.subject == "over the wire"
    assert await builder.build(again, BuildSpec(), HERE, ignore) == build
    assert len(spawned) == 1
    assert "ls-remote" in spawned[0]


async def test_a_server_that_names_refs_without_end_is_cut_off(
    repo: Repository, remote: tuple[GitServer, Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, builder = remote
    head = repo.commit({"a": "1"})
    names = (f"update refs/heads/{number}/refs/heads/main {head}\n" for number in range(2000))
    repo.git("update-ref", "--stdin", stdin="".join(names).encode())
    source = GitSource(f"{server.url}/repo/.git", "main")
    assert (await builder.resolve(source)).commit == head
    monkeypatch.setattr("steersman.builds.git.MOST_SAID", 1000)
    with pytest.raises(SourceUnreachable, match="an answer of more than"):
        await builder.resolve(source)


async def test_over_https_tags_short_commits_and_unknown_refs(
    repo: Repository, remote: tuple[GitServer, Builder]
) -> None:
    server, builder = remote
    url = f"{server.url}/repo/.git"
    first = repo.commit({"a": "1"})
    repo.git("tag", "-a", "v1", "-m", "annotated")
    head = repo.commit({"a": "2"})
    build = await builder.build(
        await builder.resolve(GitSource(url, "v1")), BuildSpec(), HERE, ignore
    )
    assert build.commit == first
    assert (await builder.resolve(GitSource(url, first[:9]))).commit == first
    assert (await builder.resolve(GitSource(url, head[:9]))).commit == head
    old = await builder.resolve(GitSource(url, head))
    assert (await builder.build(old, BuildSpec(), HERE, ignore)).commit == head
    with pytest.raises(RefNotFound, match="did you mean v1"):
        await builder.resolve(GitSource(url, "v11"))
    gone = await builder.resolve(GitSource(url, "0" * 40))
    with pytest.raises(RefNotFound, match="is named 0000"):
        await builder.build(gone, BuildSpec(), HERE, ignore)


async def test_a_dead_builders_git_locks_do_not_stop_the_next(
    repo: Repository, remote: tuple[GitServer, Builder], tmp_path: Path
) -> None:
    server, builder = remote
    source = GitSource(f"{server.url}/repo/.git")
    repo.commit({"a": "1"})
    await builder.build(await builder.resolve(source), BuildSpec(), HERE, ignore)
    (mirror,) = (tmp_path / "cache/git").iterdir()
    sha = repo.commit({"a": "2"})
    (mirror / "shallow.lock").touch()
    (mirror / f"refs/steersman/{sha}.lock").touch()
    build = await builder.build(await builder.resolve(source), BuildSpec(), HERE, ignore)
    assert build.commit == sha


async def test_trouble_with_the_server_is_retryable_and_hides_credentials(
    repo: Repository, remote: tuple[GitServer, Builder]
) -> None:
    server, builder = remote
    server.refuse = 403
    url = server.url.replace("https://", "https://ann:t0ps3cret@") + "/repo/.git"
    with pytest.raises(SourceUnreachable, match="403") as caught:
        await builder.resolve(GitSource(url))
    assert caught.value.retryable
    assert "t0ps3cret" not in str(caught.value)
