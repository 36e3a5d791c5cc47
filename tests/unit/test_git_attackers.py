"""The git endpoint against people who mean it ill: keys, commands, packs, trees and manifests."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builds_lab.repositories import Repository
from git_lab import Lab, Pusher, opened, ran
from steersman.api.refusal import Refused
from steersman.control.followed import BASE
from steersman.control.secrets import SecretUnresolved
from steersman.manifests import load_commit
from steersman.sealing.values import seal_value
from steersman.server.git.config import GitKey
from steersman.server.git.deploys import Deploys
from steersman.server.git.progress import Remote
from steersman.transport.git_server import CannotListen, check_key_line, git_server

pytestmark = pytest.mark.slow


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path) as lab:
        yield lab


async def test_a_key_pushes_and_fetches_only_what_it_is_for(lab: Lab) -> None:
    lab.eve.copy.commit({"main.py": "1"})
    wanted = "key eve may not use shop, or there is no such app here"
    for words in (("push", lab.eve.url("shop"), "main"), ("ls-remote", lab.eve.url("shop"))):
        said = await lab.eve.git(*words)
        assert said.code != 0
        assert wanted in said.text
    # What is not there is told in the same words as what is not hers.
    said = await lab.eve.git("ls-remote", lab.eve.url("nothing-yet"))
    assert wanted.replace("shop", "nothing-yet") in said.text
    assert (await lab.eve.push("blog")).code == 0
    assert await lab.at("main") is None


async def test_who_offers_anothers_key_is_still_himself(lab: Lab, tmp_path: Path) -> None:
    await lab.ann.push("shop")
    stolen = tmp_path / "stolen.pub"
    stolen.write_text(lab.ann.public + "\n")
    words = lab.eve.ssh_words()
    at = words.index("-i")
    both = [*words[:at], "-i", str(stolen), *words[at:]]
    said = await ran([*both, "git@127.0.0.1", "git-upload-pack 'shop'"], b"")
    assert "key eve may not use shop" in said.text


async def test_a_strangers_key_and_no_key_get_nowhere(lab: Lab, tmp_path: Path) -> None:
    mallory = Pusher(tmp_path, "mallory")
    assert lab.listening is not None
    mallory.meet(lab.listening)
    said = await mallory.git("ls-remote", mallory.url("shop"))
    assert "Permission denied (publickey)" in said.text
    words = [*mallory.ssh_words("-o", "PreferredAuthentications=password,keyboard-interactive")]
    said = await ran([*words, "git@127.0.0.1", "git-upload-pack 'shop'"], b"")
    assert "Permission denied (publickey)" in said.text


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh",
        "id",
        "git-upload-archive 'shop'",
        "git-receive-pack '/etc/passwd'",
        "git-receive-pack '../../shop'",
        "git-receive-pack 'shop';id",
        "git-receive-pack 'shop' | id",
        "git-receive-pack '--help'",
        "git-upload-pack --strict 'shop'",
        "scp -t /tmp",
        "internal-sftp",
    ],
)
async def test_there_is_no_shell_and_no_other_command(lab: Lab, command: str) -> None:
    said = await lab.ann.ssh("git@127.0.0.1", *([command] if command else []), stdin=b"id\n")
    assert said.code != 0
    assert "uid=" not in said.text
    assert "only git" in said.text


async def test_there_is_no_terminal_no_subsystem_and_no_forwarding(
    lab: Lab, tmp_path: Path
) -> None:
    said = await lab.ann.ssh("-tt", "git@127.0.0.1", "git-upload-pack 'shop'")
    assert said.code != 0
    assert "PTY allocation request failed" in said.text
    said = await lab.ann.ssh("-s", "git@127.0.0.1", "sftp")
    assert "subsystem request failed" in said.text
    target = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = target.sockets[0].getsockname()[1]
    said = await lab.ann.ssh("-W", f"127.0.0.1:{port}", "git@127.0.0.1")
    assert "stdio forwarding failed" in said.text
    socket = tmp_path / "s"
    for forward in (("-R", "0:127.0.0.1:22"), ("-R", f"{socket}:127.0.0.1:22")):
        said = await lab.ann.ssh(
            *("-o", "ExitOnForwardFailure=yes"), *forward, "git@127.0.0.1", "git-upload-pack 'shop'"
        )
        assert "forwarding failed" in said.text or "remote port forwarding failed" in said.text
    assert not socket.exists()
    target.close()
    await target.wait_closed()


async def test_no_variable_of_a_client_reaches_git(lab: Lab, tmp_path: Path) -> None:
    lab.ann.copy.commit({"main.py": "1"})
    trace = tmp_path / "trace"
    words = lab.ann.ssh_words("-o", f"SetEnv=GIT_TRACE={trace}", "git@127.0.0.1")
    said = await ran([*words, "git-upload-pack 'shop'"], b"0000")
    assert said.code == 0
    assert not trace.exists()


async def test_a_repository_cannot_bring_hooks_or_settings(lab: Lab, tmp_path: Path) -> None:
    ran_file = tmp_path / "ran"
    hooks = lab.depot.path("shop") / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-receive", "update", "post-receive", "post-update", "proc-receive"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran_file}\n")
        (hooks / name).chmod(0o755)
    lab.ann.copy.commit(
        {"hooks/update": f"#!/bin/sh\ntouch {ran_file}\n", ".gitattributes": "* filter=evil\n"}
    )
    assert (await lab.ann.push("shop")).code == 0
    assert not ran_file.exists()


RAW = {
    "a .git folder": [("40000", b".git", "tree")],
    "a .GIT folder": [("40000", b".GIT", "tree")],
    "an NTFS .git": [("40000", b"git~1", "tree")],
    "an HFS .git": [("40000", b".g\xe2\x80\x8cit", "tree")],
    "two dots": [("40000", b"..", "tree")],
    "a slash": [("100644", b"a/b", "blob")],
    "an empty name": [("100644", b"", "blob")],
    "a .gitmodules link": [("120000", b".gitmodules", "blob")],
    "twice the same": [("100644", b"a", "blob"), ("100644", b"a", "blob")],
}


@pytest.mark.parametrize("entries", RAW.values(), ids=RAW.keys())
async def test_git_itself_refuses_trees_that_lie(
    lab: Lab, entries: list[tuple[str, bytes, str]]
) -> None:
    commit = _raw_commit(lab.ann.copy, entries)
    said = await lab.ann.push("shop", f"{commit}:refs/heads/main")
    assert said.code == 1
    assert "fsck error" in said.text or "fatal" in said.text or "unpacker error" in said.text
    assert await lab.at("main") is None
    assert lab.deploys.deployed == []


def _raw_commit(sources: Repository, entries: list[tuple[str, bytes, str]]) -> str:
    """Commit a tree that git would not make."""
    blob = sources.git("hash-object", "-w", "--stdin", stdin=b"../../../etc/passwd")
    inner = sources.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    raw = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(inner if kind == "tree" else blob)
        for mode, name, kind in entries
    )
    words = ["hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    tree = sources.git(*words, stdin=raw)
    return sources.git("commit-tree", "-m", "hostile", tree)


OURS = {
    "a link out": ("120000", b"out", b"../../../etc/passwd", "leaves the tree"),
    "an absolute link": ("120000", b"out", b"/etc/passwd", "leaves the tree"),
    "a control character": ("100644", b"a\x1b[31m", b"x", "has control characters"),
    "no UTF-8": ("100644", b"a\xff", b"x", "not UTF-8"),
    "another normal form": ("100644", b"e\xcc\x81", b"x", "normal form"),
}


@pytest.mark.parametrize("entry", OURS.values(), ids=OURS.keys())
async def test_we_refuse_what_git_takes_and_hosts_would_not(
    lab: Lab, entry: tuple[str, bytes, bytes, str]
) -> None:
    mode, name, content, told = entry
    commit = lab.ann.copy.commit_raw([(mode, name, content)])
    said = await lab.ann.push("shop", f"{commit}:refs/heads/main")
    assert said.code == 1
    assert told in said.text
    assert "\x1b" not in said.text
    assert await lab.at("main") is None


async def test_a_submodule_is_refused_with_the_way_out(lab: Lab) -> None:
    first = lab.ann.copy.commit({"main.py": "1"})
    for url in ("ext::sh -c id", "file:///etc", "ssh://-oProxyCommand=id/x", "https://x.example/"):
        lab.ann.copy.write({".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'})
        lab.ann.copy.git("add", ".gitmodules")
        lab.ann.copy.git("update-index", "--add", "--cacheinfo", f"160000,{first},lib")
        lab.ann.copy.git("commit", "-q", "-m", "a submodule")
        said = await lab.ann.push("shop", "--no-recurse-submodules", "main")
        assert said.code == 1
        told = "lib is a submodule, and those are not deployed; vendor it"
        assert told in said.text or "gitmodulesUrl" in said.text
        assert await lab.at("main") is None
        lab.ann.copy.git("reset", "-q", "--hard", first)


async def test_what_is_too_large_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, max_pack="100k", max_tree="1M") as lab:
        lab.ann.copy.commit({"main.py": "1"})
        (lab.ann.copy.folder / "noise").write_bytes(os.urandom(300_000))
        lab.ann.copy.commit({})
        said = await lab.ann.push("shop")
        assert said.code == 1
        assert "exceeds maximum allowed size" in said.text
        # A bomb: nothing to send, and much to hold.
        (lab.ann.copy.folder / "noise").write_bytes(bytes(30_000_000))
        lab.ann.copy.git("add", "-A")
        lab.ann.copy.git("commit", "-q", "--amend", "-m", "bomb")
        said = await lab.ann.push("shop")
        assert said.code == 1
        assert "its files come to 30000001 bytes, and 1000000 are taken" in said.text
        assert await lab.at("main") is None
        kept = [p for p in lab.depot.path("shop").rglob("*") if p.is_file()]
        assert sum(p.stat().st_size for p in kept) < 100_000


async def test_a_tree_of_trees_is_not_listed_to_its_end(lab: Lab) -> None:
    """Ten levels of ten names each stand for ten thousand million files in a kilobyte."""
    oid = lab.ann.copy.git("hash-object", "-w", "--stdin", stdin=b"x")
    kind, mode = "blob", "100644"
    for _ in range(10):
        lines = "".join(f"{mode} {kind} {oid}\tname-{n}\n" for n in range(10))
        oid = lab.ann.copy.git("mktree", stdin=lines.encode())
        kind, mode = "tree", "040000"
    commit = lab.ann.copy.git("commit-tree", "-m", "bomb", oid)
    said = await lab.ann.push("shop", f"{commit}:refs/heads/main")
    assert said.code == 1
    assert "more files than can be listed" in said.text


async def test_an_interrupted_or_forged_pack_leaves_nothing(lab: Lab) -> None:
    def line(text: bytes) -> bytes:
        return b"%04x" % (len(text) + 4) + text

    update = b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main\0report-status"
    pack = b"PACK" + struct.pack(">II", 2, 1) + b"\x3b" + zlib.compress(b"not an object")
    whole = pack + hashlib.sha1(pack).digest()
    for sent in (
        line(update) + b"0000" + pack[:14],
        line(update) + b"0000" + whole,
        line(update) + b"0000" + whole[:-1] + b"\0",
        line(update),
        line(b"push-cert\0report-status\n") + b"0000",
        b"ffff" + b"x" * 70000,
        b"zzzz",
        b"",
    ):
        said = await lab.ann.ssh("git@127.0.0.1", "git-receive-pack 'shop'", stdin=sent)
        assert "ok refs/heads/main" not in said.text
    assert await lab.at("main") is None
    assert lab.deploys.deployed == []
    objects = [p for p in lab.depot.path("shop").rglob("objects/*/*") if p.is_file()]
    assert objects == []


async def test_a_client_that_says_nothing_is_ended(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman.server.git.service.IDLE_SECONDS", 0.3)
    words = lab.ann.ssh_words("git@127.0.0.1", "git-receive-pack 'shop'")
    child = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        assert await child.wait() != 0


async def test_hidden_and_special_refs_are_not_pushed(lab: Lab) -> None:
    lab.ann.copy.commit({"main.py": "1"})
    for ref in ("refs/steersman/x", "refs/notes/x", "refs/replace/x", "HEAD2"):
        said = await lab.ann.push("shop", f"main:{ref}" if "/" in ref else f"main:refs/{ref}/y")
        assert said.code == 1, ref
    code, text = await lab.depot.ask("shop", ["for-each-ref"])
    assert (code, text) == (0, b"")


async def test_only_git_and_the_hook_are_ever_started(lab: Lab, tmp_path: Path) -> None:
    """What a push starts is written down by the programs' own names, through a PATH of ours."""
    lab.ann.copy.commit({"main.py": "1", "steersman.yaml": "kind: [\n"})
    seen: set[str] = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    env = (folder / "environ").read_bytes()
                    if b"STEERSMAN_PUSH=" in env:
                        seen.add((folder / "comm").read_text().strip())
                except OSError:
                    continue
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await lab.ann.push("shop")
    done.set()
    await watching
    hooks, shells = {"pre-receive", "post-receive"}, {"sh", "python", "python3", "python3.11"}
    gits = {"git", "git-receive-pack", "git-index-pack", "git-unpack-obje", "git-rev-list"}
    assert seen <= {*gits, *hooks, *shells}
    assert seen


async def test_the_host_key_is_private_kept_and_refused_when_others_can_read_it(
    tmp_path: Path,
) -> None:
    async def serve(request: object, channel: object) -> int:
        return 0

    path = tmp_path / "git" / "host_key"
    async with git_server("127.0.0.1", 0, path, {}, serve) as first:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert first.fingerprint.startswith("SHA256:")
    async with git_server("127.0.0.1", 0, path, {}, serve) as second:
        assert second.fingerprint == first.fingerprint
        with pytest.raises(CannotListen, match=r"change git\.listen"):
            async with git_server("127.0.0.1", second.port, path, {}, serve):
                pass
    path.chmod(0o644)
    with pytest.raises(CannotListen, match="chmod 600"):
        async with git_server("127.0.0.1", 0, path, {}, serve):
            pass


async def test_a_key_may_be_bound_to_addresses(tmp_path: Path) -> None:
    far = Pusher(tmp_path, "far")
    keys = {"far": GitKey(key=f'from="192.0.2.0/24",restrict {far.public}', apps=("shop",))}
    async with opened(tmp_path / "lab", keys=keys) as lab:
        assert lab.listening is not None
        far.meet(lab.listening)
        said = await far.git("ls-remote", far.url("shop"))
        assert "Permission denied" in said.text
    keys = {"far": GitKey(key=f'from="127.0.0.0/8" {far.public}', apps=("shop",))}
    async with opened(tmp_path / "lab2", keys=keys) as lab:
        assert lab.listening is not None
        far.meet(lab.listening)
        assert (await far.git("ls-remote", far.url("shop"))).code == 0


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ann",
        "ssh-ed25519",
        "ssh-ed25519 AAAA ann",
        'command="id" {key}',
        'environment="A=b" {key}',
        "cert-authority {key}",
        'from="*",permitopen="x:1" {key}',
        'expiry-time="20200101" {key}',
        "{key}\n{key}",
        "# {key}",
    ],
)
def test_a_line_that_asks_for_more_than_is_kept_is_refused(line: str, tmp_path: Path) -> None:
    key = Pusher(tmp_path, "ann").public
    with pytest.raises(Refused):
        check_key_line(line.format(key=key))


SHOP = """apiVersion: steersman/v1
kind: App
metadata: {name: shop}
spec:
  source: {path: .}
"""


def manifest(kind: str, name: str, spec: str) -> str:
    return (
        f"apiVersion: steersman/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )


async def test_a_pushed_manifest_brings_the_app_its_jobs_and_its_secrets(lab: Lab) -> None:
    keys = lab.session.vault._keys
    keys.make()
    sealed = seal_value("shop-own", "A", "hunter2hunter2", [keys.recipient()])
    text = SHOP.replace("path: .", "path: app") + "  config: {secrets: [shop-own]}\n---\n"
    text += manifest("Secret", "shop-own", f"{{data: {{A: {{sealed: '{sealed}'}}}}}}")
    text += manifest("Job", "tidy", "{app: shop, command: tidy, schedule: '@daily'}")
    lab.ann.copy.commit({"app/main.py": "1", "steersman.yaml": text})
    said = await lab.ann.push("shop")
    assert said.code == 0, said
    assert lab.deploys.deployed[0][2] == ["Secret/shop-own", "App/shop", "Job/tidy"]


REFUSED = {
    "a host": (manifest("Host", "h9", "{address: h9.example}"), "allowed: App shop, its Jobs"),
    "a repository": (manifest("Repository", "r", "{url: 'https://x.example/r'}"), "App shop, its"),
    "another app": (SHOP.replace("name: shop", "name: blog"), 'found blog; allowed: shop'),
    "another app's job": (manifest("Job", "j", "{app: blog, command: id}"), "found blog; allowed"),
    "a job of that name": (manifest("Job", "backup", "{app: shop, command: id}"), "job backup, wh"),
    "another's secret": (
        manifest("Secret", "blog-secret", "{data: {A: {value: hunter2hunter2}}}"),
        "secret blog-secret, which is not this app's alone",
    ),
    "a secret in use by others": (
        SHOP + "  config: {secrets: [blog-secret]}\n",
        "secret blog-secret, which is not this app's",
    ),
    "a secret that nobody uses": (
        SHOP + "  config: {secrets: [spare]}\n",
        "secret spare, which is not this app's",
    ),
    "our files": (SHOP.replace("path: .", "path: /etc"), "another source than the repository"),
    "another's repository": (
        SHOP.replace("{path: .}", "{git: {url: BLOG}}"),
        "another source than the repository",
    ),
    "another source": (
        SHOP.replace("{path: .}", "{package: 'x==1'}"),
        "another source than the repository",
    ),
    "another's user": (SHOP + "  user: app-blog\n", "spec.user: found app-blog; allowed: none"),
    "broken YAML": (SHOP + "  placement: [\n", "steersman.yaml:7:1: found"),
    "an unknown key": (SHOP + "  proceses: {}\n", "did you mean processes?"),
    "an alias bomb": (SHOP + "  config: &a {env: *a}\n", "anchors and aliases are not read"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_pushed_manifest_brings_nothing_of_anybody_elses(
    lab: Lab, text: str, told: str
) -> None:
    await lab.app("blog", config={"secrets": ["blog-secret"]})
    base = {"apiVersion": "steersman/v1"}
    for name in ("blog-secret", "spare"):
        meta = {"kind": "Secret", "metadata": {"name": name}}
        await lab.store.put({**base, **meta, "spec": {"data": {}}})
    job = {"kind": "Job", "metadata": {"name": "backup"}, "spec": {"app": "blog", "command": ["x"]}}
    await lab.store.put({**base, **job})
    text = text.replace("BLOG", str(lab.depot.path("blog")))
    lab.ann.copy.commit({"steersman.yaml": text})
    said = await lab.ann.push("shop")
    assert said.code == 1
    assert told in said.text
    assert await lab.at("main") is None
    assert lab.deploys.deployed == []


async def test_what_reads_this_machine_is_refused_in_a_pushed_secret(
    lab: Lab, tmp_path: Path
) -> None:
    said: list[str] = []
    for source in ("{fromEnv: PATH}", f"{{fromExec: [touch, {tmp_path}/ran]}}", "{fromFile: x}"):
        text = manifest("Secret", "s", f"{{data: {{A: {source}}}}}").encode()
        objects = load_commit({"steersman.yaml": text}, BASE).objects
        with pytest.raises(SecretUnresolved, match="in manifests that others can push"):
            await Deploys.deploy(lab.deploys, "shop", objects, Remote(said.append), or_undo=True)
    assert not (tmp_path / "ran").exists()
    assert await lab.store.get("Secret", "s") is None
