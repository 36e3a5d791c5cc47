"""A followed repository: real git, real signatures, and what the store holds afterwards."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builds_lab.https_git import GitServer, serve_git
from builds_lab.repositories import Repository as Sources
from steersman.api.meta import find_condition
from steersman.api.objects import parse_object
from steersman.api.repository import Repository
from steersman.builds import Builder
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.report import Silent
from steersman.control.repositories import Followed, Repositories
from steersman.control.session import Session
from steersman.sealing.keyring import Keyring
from steersman.sealing.values import seal_value
from steersman.store.sqlite import SqliteStore

HOST = """apiVersion: steersman/v1
kind: Host
metadata: {{name: {0}}}
spec: {{address: {0}.example}}
"""
SECRET = """apiVersion: steersman/v1
kind: Secret
metadata: {name: s}
spec: {data: {A: %s}}
"""
APP = """apiVersion: steersman/v1
kind: App
metadata: {name: shop}
spec:
  source: {package: "shop==1.0"}
  placement: {selector: {role: none}}
"""


@dataclass
class Fleet:
    """A memory, a repository of manifests, and who follows it."""

    store: SqliteStore
    sources: Sources
    repositories: Repositories
    keys: Keyring
    controller: Controller
    session: Session

    async def follow(self, **spec: Any) -> None:
        data = {"url": str(self.sources.folder), **spec}
        meta = {"name": "fleet"}
        obj = {"apiVersion": "steersman/v1", "kind": "Repository", "metadata": meta, "spec": data}
        await self.store.put(obj)

    async def look(self, **options: Any) -> Followed:
        return await self.repositories.reconcile("fleet", **options)

    async def now(self) -> Repository:
        return await self.repositories.repository("fleet")

    async def ready(self) -> tuple[str, str, str]:
        found = find_condition((await self.now()).status.conditions, "Ready")
        stalled = find_condition((await self.now()).status.conditions, "Stalled")
        assert found is not None
        assert stalled is not None
        return found.status, found.reason, stalled.status

    async def message(self) -> str:
        found = find_condition((await self.now()).status.conditions, "Ready")
        return found.message if found is not None else ""

    async def hosts(self) -> list[str]:
        return [stored.name for stored in await self.store.list("Host")]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}


@pytest.fixture
async def fleet(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[Fleet]:
    keys = Keyring(tmp_path / "age.key")
    keys.make()
    async with SqliteStore(tmp_path / "state") as store:
        session = Session(store, Silent(), tmp_path / "cache", keys=keys, use_ssh_config=False)
        controller = Controller(session, Artifacts(Builder(tmp_path / "cache", environ)))
        repositories = Repositories(session, controller, keys, environ)
        yield Fleet(store, Sources(tmp_path / "fleet"), repositories, keys, controller, session)
        await session.close()


async def test_a_commit_is_applied_and_the_next_one_too(fleet: Fleet) -> None:
    first = fleet.sources.commit({"h1.yaml": HOST.format("h1"), "README.md": "no manifest"})
    await fleet.follow()
    followed = await fleet.look()
    assert followed.is_good
    assert followed.commit == first
    assert (await fleet.now()).status.applied_commit == first
    assert (await fleet.now()).status.inventory == ("host/h1",)
    assert await fleet.ready() == ("True", "Applied", "False")
    second = fleet.sources.commit(
        {"sub/deep/h2.yml": HOST.format("h2"), ".hidden/h3.yaml": "broken: ["}, "one more"
    )
    await fleet.look()
    assert await fleet.hosts() == ["h1", "h2"]
    status = (await fleet.now()).status
    assert (status.applied_commit, status.applied_subject) == (second, "one more")


async def test_only_the_named_folder_is_applied(fleet: Fleet) -> None:
    fleet.sources.commit({"prod/h1.yaml": HOST.format("h1"), "test/h2.yaml": HOST.format("h2")})
    await fleet.follow(path="prod")
    assert (await fleet.look()).is_good
    assert await fleet.hosts() == ["h1"]
    await fleet.follow(path="nowhere")
    assert "correct spec.path" in str((await fleet.look()).error)


async def test_a_broken_file_keeps_the_last_good_state_and_says_where(fleet: Fleet) -> None:
    good = fleet.sources.commit({"a.yaml": HOST.format("h1"), "b.yaml": HOST.format("h2")})
    await fleet.follow()
    await fleet.look()
    bad = {"a.yaml": HOST.format("other"), "b.yaml": "kind: Host\nmetadata: {name: [}\n"}
    broken = fleet.sources.commit(bad)
    followed = await fleet.look()
    assert not followed.is_good
    assert await fleet.hosts() == ["h1", "h2"]
    status = (await fleet.now()).status
    assert (status.applied_commit, status.seen_commit) == (good, broken)
    assert await fleet.ready() == ("False", "ManifestErrors", "True")
    assert (await fleet.message()).startswith("b.yaml:2:")
    (event,) = [e for e in await fleet.store.events("Repository", "fleet") if e.type == "Warning"]
    assert event.message.startswith("b.yaml:2:")
    fleet.sources.commit({"b.yaml": HOST.format("h2")})
    assert (await fleet.look()).is_good
    assert await fleet.hosts() == ["h1", "h2", "other"]
    assert await fleet.ready() == ("True", "Applied", "False")


async def test_what_is_taken_out_goes_only_with_prune(fleet: Fleet) -> None:
    async def secrets() -> list[str]:
        return [stored.name for stored in await fleet.store.list("Secret")]

    mine = SECRET % "{value: hunter2hunter2}"
    kept = "{name: kept, annotations: {steersman/prune: 'off'}}"
    files = {
        "a.yaml": mine,
        "b.yaml": mine.replace("{name: s}", "{name: b}"),
        "c.yaml": mine.replace("{name: s}", kept),
    }
    fleet.sources.commit(files)
    await fleet.follow()
    await fleet.look()
    by_hand = {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": {"name": "by-hand"}}
    await fleet.store.put({**by_hand, "spec": {"data": {}}})
    fleet.sources.git("rm", "-q", "b.yaml", "c.yaml")
    fleet.sources.commit({})
    await fleet.look()
    assert await secrets() == ["b", "by-hand", "kept", "s"]
    await fleet.follow(prune=True)
    await fleet.look()
    assert await secrets() == ["by-hand", "kept", "s"]
    fleet.sources.git("rm", "-q", "a.yaml")
    fleet.sources.commit({})
    await fleet.look()
    assert await secrets() == ["by-hand", "kept", "s"], "an empty set is likelier a mistake"


async def test_what_somebody_changed_by_hand_is_put_back_without_a_new_commit(
    fleet: Fleet,
) -> None:
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    await fleet.follow()
    await fleet.look()
    stored = await fleet.store.get("Host", "h1")
    assert stored is not None
    version = stored.resource_version
    assert (await fleet.look()).applied is None
    await fleet.store.put({**stored.object, "spec": {"address": "elsewhere.example"}})
    assert (await fleet.look()).applied is not None
    again = await fleet.store.get("Host", "h1")
    assert again is not None
    assert again.spec["address"] == "h1.example"
    assert again.resource_version > version
    assert (await fleet.look(is_asked=True)).applied is not None


async def test_a_suspended_repository_is_left_alone(fleet: Fleet) -> None:
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    await fleet.follow(suspend=True)
    assert "suspended" in str((await fleet.look()).error)
    assert await fleet.hosts() == []
    assert await fleet.ready() == ("False", "Suspended", "False")
    await fleet.follow()
    stored = await fleet.store.get("Repository", "fleet")
    assert stored is not None
    stored.metadata["annotations"] = {"steersman/suspended": "true"}
    await fleet.store.put(stored.object)
    # As applying its manifest again does, which does not name the annotation.
    manifest = Repository.model_validate({**stored.object, "metadata": {"name": "fleet"}})
    await fleet.session.memory.put(manifest)
    assert "suspended" in str((await fleet.look(is_asked=True)).error)
    assert await fleet.hosts() == []


async def test_a_ref_that_is_gone_and_a_repository_that_is(fleet: Fleet) -> None:
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    await fleet.follow()
    await fleet.look()
    applied = (await fleet.now()).status.applied_commit
    fleet.sources.git("branch", "-m", "main", "trunk")
    assert "set spec.source.git.ref" in str((await fleet.look()).error)
    assert await fleet.ready() == ("False", "RefNotFound", "True")
    assert (await fleet.now()).status.applied_commit == applied
    await fleet.follow(url=str(fleet.sources.folder) + "-gone")
    await fleet.look()
    assert await fleet.ready() == ("False", "SourceUnreachable", "False")


async def test_a_commit_cannot_name_files_variables_or_programs_of_ours(
    fleet: Fleet, tmp_path: Path
) -> None:
    host = HOST.format("h1").replace("h1.example", "h1.example, identity: %s")
    (tmp_path / "value").write_text("hunter2hunter2")
    for text, told in [
        (SECRET % "{fromEnv: PATH}", "fromEnv in manifests that others can push"),
        (SECRET % "{fromExec: [touch, ran]}", "fromExec in manifests that others can push"),
        (SECRET % "{fromFile: value}", "fromFile in manifests that others can push"),
        (APP.replace('package: "shop==1.0"', "path: ."), "a folder, and a followed repository has"),
        (APP.replace('package: "shop==1.0"', "path: /etc"), "a folder, and a followed repository"),
        (
            APP.replace('package: "shop==1.0"', 'git: {url: "/srv/other.git"}'),
            "on the controller's own disk",
        ),
        (host % "keys/id", "spec.identity: found a relative path"),
    ]:
        fleet.sources.commit({"x.yaml": text})
        await fleet.follow()
        assert told in str((await fleet.look()).error)
    assert await fleet.store.list("App") == ()
    assert await fleet.hosts() == []


async def test_a_sealed_secret_arrives(fleet: Fleet) -> None:
    sealed = seal_value("s", "A", "hunter2hunter2", [fleet.keys.recipient()])
    fleet.sources.commit({"s.yaml": SECRET % f"{{sealed: '{sealed}'}}"})
    await fleet.follow()
    assert (await fleet.look()).is_good
    values = await fleet.session.vault.current(["s"])
    assert values == {"s": {"A": "hunter2hunter2"}}
    assert (await fleet.look()).applied is None


async def test_an_app_that_fails_is_told_and_the_commit_counts_as_applied(fleet: Fleet) -> None:
    commit = fleet.sources.commit({"shop.yaml": APP, "h1.yaml": HOST.format("h1")})
    await fleet.follow()
    followed = await fleet.look()
    assert not followed.is_good
    assert await fleet.ready() == ("False", "NowhereToRun", "False")
    assert (await fleet.now()).status.applied_commit == commit


async def test_nothing_outside_the_tree_is_read_and_giants_are_refused(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "outside.yaml").write_text(HOST.format("outside"))
    os.symlink(tmp_path / "outside.yaml", fleet.sources.folder / "link.yaml")
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    await fleet.follow()
    assert (await fleet.look()).is_good
    assert await fleet.hosts() == ["h1"]
    monkeypatch.setattr("steersman.builds.gittexts.MOST_BYTES", 100)
    fleet.sources.commit({"h2.yaml": "# " + "x" * 100})
    assert "name the folder" in str((await fleet.look()).error)


class Signer:
    """Signs commits with a key of ssh-keygen's or gpg's making."""

    def __init__(self, sources: Sources, settings: dict[str, str]) -> None:
        self._sources = sources
        self._words = [w for key, value in settings.items() for w in ("-c", f"{key}={value}")]

    def commit(self, files: dict[str, str]) -> str:
        self._sources.write(files)
        self._sources.git("add", "-A")
        self._sources.git(*self._words, "commit", "-q", "-S", "-m", "signed")
        return self._sources.git("rev-parse", "HEAD")


def ssh_signer(folder: Path, name: str, sources: Sources) -> tuple[Signer, str]:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    return Signer(sources, {"gpg.format": "ssh", "user.signingKey": str(key)}), public


def gpg_signer(folder: Path, name: str, sources: Sources) -> tuple[Signer, str]:
    home = folder / f"gpg-{name}"
    home.mkdir(0o700)
    env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(home)}
    user = f"{name}@example.com"
    make = ["--batch", "--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "0"]
    subprocess.run(["gpg", *make], env=env, check=True, capture_output=True)
    export = ["gpg", "--batch", "--export", "--armor", user]
    armor = subprocess.run(export, env=env, check=True, capture_output=True).stdout.decode()
    wrapper = folder / f"gpg-{name}.sh"
    wrapper.write_text(f'#!/bin/sh\nGNUPGHOME={home} exec gpg --batch "$@"\n')
    wrapper.chmod(0o755)
    return Signer(sources, {"gpg.program": str(wrapper), "user.signingKey": user}), armor


@pytest.mark.parametrize("kind", ["ssh", "gpg"])
async def test_only_a_believed_signature_is_applied(
    fleet: Fleet, tmp_path: Path, kind: str
) -> None:
    make = ssh_signer if kind == "ssh" else gpg_signer
    ann, public = make(tmp_path, "ann", fleet.sources)
    eve, _ = make(tmp_path, "eve", fleet.sources)
    await fleet.follow(verify={kind: [public]})
    good = ann.commit({"h1.yaml": HOST.format("h1")})
    followed = await fleet.look()
    assert followed.is_good, followed.error
    unbelieved: tuple[Callable[[], str], ...] = (
        lambda: eve.commit({"h2.yaml": HOST.format("h2")}),
        lambda: fleet.sources.commit({"h3.yaml": HOST.format("h3")}),
        lambda: _forged(fleet.sources, good),
    )
    for make_one in unbelieved:
        commit = make_one()
        followed = await fleet.look()
        assert followed.commit == commit
        assert await fleet.ready() == ("False", "NotSigned", "True")
        assert (await fleet.now()).status.applied_commit == good
        assert await fleet.hosts() == ["h1"]
    ann.commit({"h4.yaml": HOST.format("h4")})
    assert (await fleet.look()).is_good
    assert "h4" in await fleet.hosts()


def _forged(sources: Sources, signed: str) -> str:
    """Commit another tree under the signature of a good commit."""
    raw = sources.git("cat-file", "commit", signed)
    tree = sources.git("rev-parse", "HEAD^{tree}")
    changed = f"tree {tree}\n" + raw.split("\n", 1)[1] + "\n"
    forged = sources.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=changed.encode())
    sources.git("update-ref", "refs/heads/main", forged)
    return forged


@pytest.fixture
def served(tmp_path: Path, environ: dict[str, str]) -> Iterator[GitServer]:
    with serve_git(tmp_path, tmp_path) as (server, certificate):
        environ["GIT_SSL_CAINFO"] = str(certificate)
        yield server


@pytest.mark.parametrize("way", ["here", "https"])
async def test_with_mode_all_every_new_commit_has_a_believed_signature(
    fleet: Fleet, tmp_path: Path, served: GitServer, way: str
) -> None:
    url = str(fleet.sources.folder) if way == "here" else f"{served.url}/fleet/.git"
    ann, public = ssh_signer(tmp_path, "ann", fleet.sources)
    # What was there before anybody followed it is nobody's matter.
    fleet.sources.commit({"README": "unsigned"})
    await fleet.follow(url=url, verify={"ssh": [public], "mode": "All"})
    first = ann.commit({"h1.yaml": HOST.format("h1")})
    followed = await fleet.look()
    assert followed.is_good, followed.error
    bad = fleet.sources.commit({"h2.yaml": HOST.format("h2")})
    ann.commit({"README": "on top of it"})
    followed = await fleet.look()
    assert f"commit {bad[:12]} is not taken: it is not signed" in str(followed.error)
    assert await fleet.ready() == ("False", "NotSigned", "True")
    assert (await fleet.now()).status.applied_commit == first
    assert await fleet.hosts() == ["h1"]
    # The same commits with every signature, and another look at what was refused.
    fleet.sources.git("reset", "-q", "--hard", first)
    ann.commit({"h3.yaml": HOST.format("h3")})
    ann.commit({"h4.yaml": HOST.format("h4")})
    followed = await fleet.look()
    assert followed.is_good, followed.error
    assert await fleet.hosts() == ["h1", "h3", "h4"]


async def test_the_head_alone_is_looked_at_unless_said_otherwise(
    fleet: Fleet, tmp_path: Path
) -> None:
    ann, public = ssh_signer(tmp_path, "ann", fleet.sources)
    await fleet.follow(verify={"ssh": [public]})
    ann.commit({"h1.yaml": HOST.format("h1")})
    assert (await fleet.look()).is_good
    fleet.sources.commit({"h2.yaml": HOST.format("h2")})
    ann.commit({"README": "on top of it"})
    assert (await fleet.look()).is_good


async def test_a_history_that_is_not_whole_is_believed_by_nobody(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, public = ssh_signer(tmp_path, "ann", fleet.sources)
    verify = {"ssh": [public], "mode": "All"}
    await fleet.follow(verify=verify)
    first = ann.commit({"h1.yaml": HOST.format("h1")})
    assert (await fleet.look()).is_good
    for number in range(3):
        last = ann.commit({"README": str(number)})
    cut = Sources(tmp_path / "cut")
    shallow = ("fetch", "-q", "--depth=1", f"file://{fleet.sources.folder}")
    cut.git(*shallow, f"{last}:refs/heads/cut")
    await fleet.follow(url=str(cut.folder), ref="cut", verify=verify)
    assert f"it does not have commit {first[:12]}" in str((await fleet.look()).error)
    cut.git(*shallow, f"{first}:refs/heads/first")
    assert f"the history before {last[:12]} was not sent" in str((await fleet.look()).error)
    assert await fleet.ready() == ("False", "HistoryUnknown", "True")
    monkeypatch.setattr("steersman.builds.githistory.MOST_NEW", 2)
    await fleet.follow(verify=verify)
    assert "more than 2 commits" in str((await fleet.look()).error)
    monkeypatch.setattr("steersman.builds.githistory.MOST_NEW", 3)
    assert (await fleet.look()).is_good


async def test_a_commit_is_not_read_as_the_one_that_a_ref_puts_in_its_place(
    fleet: Fleet, tmp_path: Path
) -> None:
    ann, public = ssh_signer(tmp_path, "ann", fleet.sources)
    await fleet.follow(verify={"ssh": [public]})
    good = ann.commit({"h1.yaml": HOST.format("h1")})
    bad = fleet.sources.commit({"h2.yaml": HOST.format("h2")})
    fleet.sources.git("update-ref", f"refs/replace/{bad}", good)
    assert f"commit {bad[:12]} is not taken" in str((await fleet.look()).error)


async def test_a_repository_that_sends_too_much_is_refused_and_nothing_stays(
    served: GitServer, fleet: Fleet, tmp_path: Path
) -> None:
    (fleet.sources.folder / "big").write_bytes(os.urandom(2 << 20))
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    await fleet.follow(url=f"{served.url}/fleet/.git", maxFetch="1M")
    await fleet.look()
    assert await fleet.ready() == ("False", "SourceTooLarge", "True")
    assert "sends more than 1M" in await fleet.message()
    assert "raise spec.maxFetch" in await fleet.message()
    packs = [file for file in (tmp_path / "cache/git").rglob("*") if "pack" in file.name]
    assert all(file.is_dir() for file in packs)
    assert await fleet.hosts() == []
    sent = len(served.requests)
    await fleet.look()
    stands = len(served.requests) - sent
    assert await fleet.ready() == ("False", "SourceTooLarge", "True")
    await fleet.look(is_asked=True)
    assert len(served.requests) - sent > 2 * stands, "only who asks has it sent again"
    await fleet.follow(url=f"{served.url}/fleet/.git", maxFetch="3M")
    followed = await fleet.look()
    assert followed.is_good, followed.error


async def test_a_signature_of_one_kind_is_not_believed_for_keys_of_the_other(
    fleet: Fleet, tmp_path: Path
) -> None:
    ann, _ = ssh_signer(tmp_path, "ann", fleet.sources)
    _, armor = gpg_signer(tmp_path, "ann2", fleet.sources)
    await fleet.follow(verify={"gpg": [armor]})
    ann.commit({"h1.yaml": HOST.format("h1")})
    assert (await fleet.look()).error is not None
    assert await fleet.hosts() == []


async def secret(fleet: Fleet, **values: str) -> None:
    data = {key: {"value": value} for key, value in values.items()}
    meta = {"name": "git"}
    obj = {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": meta, "spec": {"data": data}}
    found = parse_object(obj)
    await fleet.session.vault.put(found, values)  # type: ignore[arg-type]


async def test_credentials_go_where_they_were_given_for_and_nowhere_else(
    served: GitServer, fleet: Fleet
) -> None:
    fleet.sources.commit({"h1.yaml": HOST.format("h1")})
    url = f"{served.url}/fleet/.git"
    await fleet.follow(url=url, credentials="git")
    await secret(fleet, URL=f"{served.url}/fleet", USERNAME="steersman", PASSWORD="hunter2hunter2")
    assert (await fleet.look()).is_good
    wanted = "Basic " + base64.b64encode(b"steersman:hunter2hunter2").decode()
    assert set(served.authorizations) == {wanted}
    served.authorizations.clear()
    for bound in (f"{served.url}/flee", "https://git.example.com/", "http://127.0.0.1/fleet"):
        await secret(fleet, URL=bound, PASSWORD="hunter2hunter2")
        fleet.sources.commit({})
        await fleet.look()
        assert await fleet.ready() == ("False", "CredentialsRefused", "True")
    assert served.authorizations == []
    await secret(fleet, URL=served.url, TOKEN="hunter2hunter2")
    assert "TOKEN means nothing" in str((await fleet.look()).error)


async def test_a_private_key_lies_only_where_ssh_reads_it(
    fleet: Fleet, tmp_path: Path, environ: dict[str, str]
) -> None:
    seen = tmp_path / "seen"
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" > {seen}; cat "$2" >> {seen}; exit 255\n')
    ssh.chmod(0o755)
    environ["PATH"] = f"{ssh.parent}:{environ['PATH']}"
    identity = base64.b64encode(b"-----BEGIN a private key").decode()
    url = "ssh://git@git.example.com/fleet.git"
    await secret(fleet, URL=url, IDENTITY=identity, KNOWN_HOSTS="git.example.com ssh-ed25519 AAAA")
    repositories = Repositories(fleet.session, fleet.controller, fleet.keys, dict(environ))
    await fleet.follow(url=url, credentials="git")
    followed = await repositories.reconcile("fleet")
    assert "could not read it" in str(followed.error)
    told = seen.read_text()
    assert "-F " in told
    assert "IdentitiesOnly yes" in told
    assert "StrictHostKeyChecking yes" in told
    assert not list(tmp_path.rglob("identity"))
