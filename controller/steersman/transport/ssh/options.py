"""What asyncssh is told: algorithms, who we are, and which host keys are trusted."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncssh
import structlog

from steersman.transport.errors import IdentityLocked
from steersman.transport.known_hosts import openssh_files
from steersman.transport.ssh.attempt import LOGIN_SECONDS, Attempt
from steersman.transport.target import Target

log = structlog.get_logger(__name__)

Options = asyncssh.SSHClientConnectionOptions

_SSH_CONFIG = Path("~/.ssh/config")
_WEAK_KINDS = ("ssh-rsa", "ssh-dss")

# asyncssh's defaults minus SHA-1, GSS and 64-bit tags. Without ChaCha20 and CBC there is nothing
# for Terrapin (CVE-2023-48795) to cut, whether or not the server speaks strict kex.
_OPTIONS: Mapping[str, Any] = {
    "kex_algs": "-gss-*,*-sha1,rsa2048-sha256",
    "encryption_algs": "-chacha20-poly1305@openssh.com,*-cbc*,arcfour*",
    "mac_algs": "-*sha1*,*md5*,umac-64*",
    "signature_algs": "-ssh-rsa*,ssh-dss*",
    "compression_algs": ["none"],
    "login_timeout": LOGIN_SECONDS,
    "connect_timeout": LOGIN_SECONDS,
    "keepalive_interval": 5,
    "keepalive_count_max": 3,
    "agent_forwarding": False,
    "gss_host": None,
    "x509_trusted_certs": None,
    "preferred_auth": "publickey",
}
# A kind of key for each name, in the order in which a person should be shown them.
HOST_KEY_KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
ANY_KIND = tuple(name for kind in HOST_KEY_KINDS for name in kind)


async def client_options(attempt: Attempt, trust_files: Sequence[Path]) -> Options:
    """Read keys, known_hosts and, when the target says so, ssh_config."""
    target = attempt.target
    attempt.login = f"{target.user or getpass.getuser()}@{target.address}"
    trust = _trust(target, trust_files)
    given: dict[str, Any] = {**_OPTIONS, **await _credentials(attempt)}
    if target.user is not None:
        given["username"] = target.user
    if target.port is not None:
        given["port"] = target.port
    config = _SSH_CONFIG.expanduser()
    options: Options = await Options.construct(
        host=target.address,
        config=[str(config)] if target.use_ssh_config and config.is_file() else None,
        known_hosts=trust,
        client_factory=lambda: _Client(attempt, trust),
        **given,
    )
    attempt.login = f"{options.username}@{options.host}"
    return options


class _Client(asyncssh.SSHClient):
    """Notes why a host key was not trusted; asyncssh asks only about keys that are not."""

    def __init__(self, attempt: Attempt, trust: asyncssh.SSHKnownHosts) -> None:
        self._attempt = attempt
        self._trust = trust

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        trusted, *_ = self._trust.match(host, addr, port if port != asyncssh.DEFAULT_PORT else None)
        self._attempt.shown_key = key.get_fingerprint()
        self._attempt.trusted_keys = tuple(known.get_fingerprint() for known in trusted)
        return False


async def tried_keys(options: Options) -> tuple[str, ...]:
    """Return the names of the keys that a login with `options` offered."""
    held = await _agent_keys(options.agent_path) if options.client_keys is not None else []
    local = [key.get_comment() or "unnamed key" for key in options.client_keys or ()]
    return (*(f"{comment} (agent)" for comment, _ in held), *local)


async def _credentials(attempt: Attempt) -> Mapping[str, Any]:
    """Return asyncssh's options for who we are; a named identity is the only one offered."""
    identity = attempt.target.identity
    if identity is None:
        return {}
    path = identity.expanduser()
    try:
        asyncssh.read_private_key(path)
    except asyncssh.KeyImportError as error:
        if not str(error).startswith("Passphrase"):
            raise
    except OSError as error:
        raise ValueError(f"the identity {path} cannot be read: {error.strerror}") from error
    else:
        return {"client_keys": [str(path)], "agent_path": None}
    public = path.with_name(path.name + ".pub")
    named = asyncssh.read_public_key(public).public_data if public.is_file() else None
    held = [blob for _, blob in await _agent_keys(os.environ.get("SSH_AUTH_SOCK"))]
    usable = [blob for blob in held if named is None or blob == named]
    if not usable:
        raise IdentityLocked(attempt.target.name, str(identity))
    return {"client_keys": [str(path)], "ignore_encrypted": True, "agent_identities": usable}


async def _agent_keys(path: str | None) -> list[tuple[str, bytes]]:
    """Return the comment and the public key of everything that the agent holds."""
    if not path:
        return []
    try:
        async with asyncssh.connect_agent(path) as agent:
            return [
                (key.get_comment() or "unnamed key", key.key_public_data)
                for key in await agent.get_keys()
            ]
    except (OSError, ValueError) as error:
        log.warning("ssh_agent_failed", path=path, error=str(error))
        return []


def _trust(target: Target, trust_files: Sequence[Path]) -> asyncssh.SSHKnownHosts:
    if target.host_keys:
        for key in target.host_keys:
            asyncssh.import_public_key(key)  # a pin that cannot be read must not trust nothing
        return _parse_known_hosts("".join(f"* {key}\n" for key in target.host_keys))
    files = (*trust_files, *openssh_files())
    return _parse_known_hosts("\n".join(file.read_text() for file in files if file.is_file()))


@lru_cache(maxsize=64)
def _parse_known_hosts(text: str) -> asyncssh.SSHKnownHosts:
    trust = asyncssh.SSHKnownHosts()
    for line in text.splitlines():
        try:
            trust.load(line)
        except ValueError as error:
            # As ssh does: one bad line must not lock a person out of every host.
            log.warning("known_hosts_line_ignored", error=str(error))
    return trust


def trusted_kinds(options: Options) -> list[str]:
    """Return the host key algorithms to ask for, first those of the keys that we can check.

    The others follow so that a host with none of them shows what it has, instead of hanging up.
    """
    trust: Any = options.known_hosts
    port = options.port if options.port != asyncssh.DEFAULT_PORT else None
    keys, authorities, *_ = trust.match(options.host_key_alias or options.host, "", port)
    certified = [f"{kind}-cert-v01@openssh.com" for kind in ANY_KIND] if authorities else []
    plain = [name.decode() for key in keys for name in key.sig_algorithms]
    kinds = certified + [name for name in plain if not name.startswith(_WEAK_KINDS)]
    return list(dict.fromkeys([*kinds, *ANY_KIND]))
