"""Logging in over a real sshd: host keys, identities, jump hosts, and a row for each error."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import pkgutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import asyncssh
import pytest

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.transport import ssh
from steersman.transport.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    IdentityLocked,
    LinkSettingsRefused,
    LoginRefused,
    PeerRefused,
    ProtocolError,
)
from steersman.transport.known_hosts import KnownHosts
from steersman.transport.ssh.attempt import Attempt
from steersman.transport.ssh.rows import ROWS, translate
from steersman.transport.target import Target
from transport_lab import SSHD, Server, free_port, make_key, run_sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs OpenSSH's sshd")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


async def login(target: Target, *, trust_files: Sequence[Path] = ()) -> None:
    connection = await ssh.connect(target, trust_files=trust_files)
    await connection.close()


async def test_a_pinned_key_lets_us_in(server: Server) -> None:
    await login(server.target())


async def test_an_unknown_key_names_the_way_out_and_its_fingerprint(server: Server) -> None:
    fingerprint = asyncssh.import_public_key(server.host_key).get_fingerprint()
    with pytest.raises(HostKeyUnknown, match=r"run `steer host trust h1`") as caught:
        await login(server.target(host_keys=()))
    assert fingerprint in str(caught.value)
    assert caught.value.fingerprint == fingerprint


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_another_key_than_the_pinned_one_is_refused(
    server: Server, tmp_path: Path, kind: str
) -> None:
    other = make_key(tmp_path / "other", kind)
    with pytest.raises(HostKeyChanged, match="somebody in between"):
        await login(server.target(host_keys=(other,)))


async def test_pinned_keys_ask_no_file(server: Server, home: Path, tmp_path: Path) -> None:
    pattern = f"[127.0.0.1]:{server.port}"
    (home / ".ssh/known_hosts").write_text(f"{pattern} {server.host_key}\n")
    with pytest.raises(HostKeyChanged):
        await login(server.target(host_keys=(make_key(tmp_path / "other"),)))


async def test_a_pin_that_cannot_be_read_is_an_error_and_trusts_nothing(server: Server) -> None:
    with pytest.raises(LinkSettingsRefused):
        await login(server.target(host_keys=("ssh-ed25519 AAAAnonsense",)))


async def test_the_persons_known_hosts_are_trusted_and_their_bad_lines_skipped(
    server: Server, home: Path
) -> None:
    lines = f"|1|broken\n[127.0.0.1]:{server.port} {server.host_key}\n"
    (home / ".ssh/known_hosts").write_text(lines)
    await login(server.target(host_keys=()))


async def test_a_revoked_key_is_refused(server: Server, home: Path) -> None:
    lines = f"@revoked * {server.host_key}\n[127.0.0.1]:{server.port} {server.host_key}\n"
    (home / ".ssh/known_hosts").write_text(lines)
    with pytest.raises(HostKeyChanged):
        await login(server.target(host_keys=()))


async def test_a_host_is_trusted_by_fetching_and_pinning(server: Server, tmp_path: Path) -> None:
    target = server.target(host_keys=())
    trusted = KnownHosts(tmp_path / "state" / "known_hosts")
    shown = await ssh.fetch_host_keys(target)
    assert [(algorithm, line) for algorithm, line, _ in shown] == [("ssh-ed25519", server.host_key)]
    assert shown[0][2].startswith("SHA256:")
    trusted.pin(target, [line for _, line, _ in shown])
    await login(target, trust_files=[trusted.path])


def test_known_hosts_pins_once_replaces_and_keeps_the_others(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "deep" / "known_hosts")
    one, two = Target("a", "a.example"), Target("b", "b.example", port=2222)
    assert known.keys(one) == ()
    known.pin(one, ["ssh-ed25519 AAAA comment"])
    known.pin(one, ["ssh-ed25519 AAAA", "ssh-ed25519 BBBB"])
    known.pin(two, ["ssh-ed25519 CCCC"])
    assert known.keys(one) == ("ssh-ed25519 AAAA", "ssh-ed25519 BBBB")
    known.pin(one, ["ssh-ed25519 DDDD"], replace=True)
    assert known.keys(one) == ("ssh-ed25519 DDDD",)
    assert known.keys(two) == ("ssh-ed25519 CCCC",)
    assert "[b.example]:2222 ssh-ed25519 CCCC\n" in known.path.read_text()
    assert known.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in known.path.parent.iterdir()) == [
        "known_hosts",
        "known_hosts.lock",
    ]


async def test_a_wrong_user_is_told_which_keys_were_tried(server: Server) -> None:
    with pytest.raises(LoginRefused, match=r"nobody@127\.0\.0\.1 was refused.*identity") as caught:
        await login(server.target(user="nobody"))
    assert "authorized_keys" in str(caught.value)


async def test_a_key_that_the_host_does_not_take(server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    with pytest.raises(LoginRefused, match="stranger"):
        await login(server.target(identity=tmp_path / "stranger"))


async def test_default_keys_are_tried(server: Server, home: Path) -> None:
    (home / ".ssh/id_ed25519").write_bytes(server.identity.read_bytes())
    await login(server.target(identity=None))


async def test_no_key_at_all_says_so(server: Server) -> None:
    with pytest.raises(LoginRefused, match="no key was found"):
        await login(server.target(identity=None))


async def test_a_missing_identity_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LinkSettingsRefused, match="nowhere"):
        await login(server.target(identity=tmp_path / "nowhere"))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], object]]:
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    while not answers(path):
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield lambda *words: subprocess.run(["ssh-add", "-q", *words], check=True)
    process.terminate()
    process.wait()


def answers(path: Path) -> bool:
    """Whether somebody listens at a socket: it is there for a moment before that."""
    with (
        contextlib.suppress(FileNotFoundError, ConnectionRefusedError),
        socket.socket(socket.AF_UNIX) as link,
    ):
        link.connect(str(path))
        return True
    return False


def encrypt(private: Path, copy: Path) -> Path:
    copy.write_bytes(private.read_bytes())
    copy.chmod(0o600)
    words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "correct horse", "-f", str(copy)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    copy.with_name(copy.name + ".pub").write_bytes(
        private.with_name(private.name + ".pub").read_bytes()
    )
    return copy


async def test_an_encrypted_identity_without_an_agent_names_ssh_add(
    server: Server, tmp_path: Path
) -> None:
    make_key(tmp_path / "locked", passphrase="correct horse")
    with pytest.raises(IdentityLocked, match=f"ssh-add {tmp_path}/locked"):
        await login(server.target(identity=tmp_path / "locked"))


async def test_an_encrypted_identity_is_used_through_the_agent(
    server: Server, tmp_path: Path, agent: Callable[[str], object]
) -> None:
    public = make_key(tmp_path / "open")
    locked = encrypt(tmp_path / "open", tmp_path / "locked")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(public + "\n")
    with pytest.raises(IdentityLocked):
        await login(server.target(identity=locked))
    agent(str(tmp_path / "open"))
    await login(server.target(identity=locked))
    await login(server.target(identity=None))


async def test_agent_keys_are_listed_when_they_are_refused(
    server: Server, tmp_path: Path, agent: Callable[[str], object]
) -> None:
    make_key(tmp_path / "stranger")
    agent(str(tmp_path / "stranger"))
    with pytest.raises(LoginRefused, match=r"tried: stranger \(agent\)"):
        await login(server.target(identity=None))


async def test_ssh_config_is_honoured_only_when_asked(server: Server, home: Path) -> None:
    config = (
        f"Host shop\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {server.identity}\n"
    )
    (home / ".ssh/config").write_text(config)
    named = server.target(address="shop", port=None, identity=None, use_ssh_config=True)
    await login(named)
    with pytest.raises(HostUnreachable):
        await login(server.target(address="shop.invalid", port=None))


async def test_ssh_configs_proxy_jump_and_proxy_command_are_honoured(
    server: Server, home: Path, tmp_path: Path
) -> None:
    common = f" HostName 127.0.0.1\n Port {server.port}\n IdentityFile {server.identity}\n"
    (home / ".ssh/config").write_text(
        f"Host bastion\n{common}\nHost shop\n ProxyJump bastion\n{common}\n"
        f"Host piped\n ProxyCommand nc %h %p\n{common}\nHost circle\n ProxyJump circle\n{common}\n"
    )
    trusted = KnownHosts(tmp_path / "known_hosts")
    trusted.pin(server.target(), [server.host_key])
    shop = server.target(address="shop", port=None, identity=None, use_ssh_config=True)
    with pytest.raises(HostKeyUnknown, match="host bastion"):
        await login(shop)
    await login(shop, trust_files=[trusted.path])
    circle = server.target(address="circle", port=None, identity=None, use_ssh_config=True)
    with pytest.raises(LinkSettingsRefused, match="in a circle"):
        await login(circle, trust_files=[trusted.path])


async def test_a_chain_of_jump_hosts(server: Server) -> None:
    first = server.target(name="first")
    second = server.target(name="second", jump=first)
    await login(server.target(jump=second))


async def test_the_jump_host_that_failed_is_the_one_named(server: Server) -> None:
    stranger = server.target(name="bastion", host_keys=())
    with pytest.raises(HostKeyUnknown, match=r"host bastion: .*steer host trust bastion"):
        await login(server.target(jump=stranger))
    with pytest.raises(HostUnreachable, match="host h1"):
        await login(server.target(port=free_port(), jump=server.target(name="bastion")))


async def test_nobody_listens() -> None:
    with pytest.raises(HostUnreachable, match=r"host h1: .*steer host check h1"):
        await login(Target("h1", "127.0.0.1", port=free_port()))


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(HostUnreachable):
        await login(Target("h1", "nowhere.invalid"))


async def test_a_port_that_speaks_something_else_without_end() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 1000)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises((PeerRefused, HostUnreachable, ProtocolError), match="host h1"):
            await login(Target("h1", "127.0.0.1", port=port))


def foreign_errors() -> Iterator[type[BaseException]]:
    for module in pkgutil.iter_modules(asyncssh.__path__, "asyncssh."):
        try:
            members = vars(importlib.import_module(module.name)).values()
        except ImportError:
            continue  # a Windows or GSSAPI half that is not installed
        yield from (
            member
            for member in members
            if inspect.isclass(member)
            and issubclass(member, BaseException)
            and member.__module__.startswith("asyncssh.")
        )


@pytest.mark.parametrize("error", sorted(set(foreign_errors()), key=str))
def test_every_exception_class_of_asyncssh_has_a_row(error: type[BaseException]) -> None:
    row = next(kind for kind in error.__mro__ if kind in ROWS)
    assert row.__module__.startswith("asyncssh."), f"{error} only fits the row of {row}"
    # Only whole families share a row; a new kind of error must be looked at by a person.
    assert row in (error, asyncssh.SFTPError) or error.__name__.startswith("ASN1")


def test_asyncssh_timeouts_are_not_taken_for_socket_errors() -> None:
    attempt = Attempt(Target("h1", "h1"))
    late = asyncssh.TimeoutError({}, "", None, None, None, None, "", "")
    assert "no SSH login within 15 s" in str(translate(late, attempt))
    assert "no SSH login" in str(translate(TimeoutError(), attempt))
    assert "no SSH login" not in str(translate(ConnectionRefusedError("refused"), attempt))


def test_only_this_package_imports_asyncssh() -> None:
    rooms = Path(inspect.getfile(SteersmanError)).parents[1]
    importers = {
        path.relative_to(rooms).parts[:2]
        for path in rooms.rglob("*.py")
        if "asyncssh" in path.read_text() and "import asyncssh" in path.read_text()
    }
    # Logging in is one package's business; each of two servers, a module's.
    servers = {("transport", "embedded_server.py"), ("transport", "git_server.py")}
    expected = {("transport", "ssh"), *servers}
    assert {parts for parts in importers if parts[0] == "transport"} == expected
