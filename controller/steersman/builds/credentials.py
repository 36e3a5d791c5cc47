"""Who we are to one repository: lent to git for as long as it runs, and to no other address."""

import base64
import binascii
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from steersman.builds.cache import Cache
from steersman.builds.errors import BuildError
from steersman.builds.text import clean

_KEYS = frozenset({"URL", "USERNAME", "PASSWORD", "IDENTITY", "KNOWN_HOSTS"})


class CredentialsRefused(BuildError):
    """A Secret is no credentials, or those of another place."""

    def __init__(self, secret: str, why: str, way_out: str) -> None:
        super().__init__(f"secret {secret}: {why}; {way_out}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A password over HTTPS, or a private key over SSH; `url` begins what they are for."""

    url: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: bytes = field(default=b"", repr=False)
    known_hosts: str = ""


def credentials_for(secret: str, values: Mapping[str, str], url: str) -> Credentials:
    """Return the credentials that a Secret's values are; raises CredentialsRefused.

    They are bound to where they were given for: who may change a repository's URL must not be
    able to have them sent elsewhere.
    """
    unknown = sorted(values.keys() - _KEYS)
    if unknown:
        way_out = f"credentials have {', '.join(sorted(_KEYS))}"
        raise CredentialsRefused(secret, f"{', '.join(unknown)} means nothing", way_out)
    bound = values.get("URL", "")
    if not bound or not _is_within(url, bound):
        why = f"its URL {clean(bound) or 'is not given and'} does not begin {clean(url)}"
        raise CredentialsRefused(secret, why, "set URL to where these credentials may be sent")
    if "IDENTITY" in values and not url.startswith("https:"):
        identity = _decoded(secret, values["IDENTITY"])
        return Credentials(bound, "", "", identity, values.get("KNOWN_HOSTS", ""))
    if "PASSWORD" in values and url.startswith("https:"):
        return Credentials(bound, values.get("USERNAME", "git"), values["PASSWORD"])
    wanted = "PASSWORD" if url.startswith("https:") else "IDENTITY"
    raise CredentialsRefused(secret, f"it has no {wanted}", f"add {wanted} for {clean(url)}")


@contextmanager
def lent(credentials: Credentials | None, cache: Cache) -> Iterator[dict[str, str]]:
    """Yield the variables that let git use them; what they point to goes away afterwards."""
    if credentials is None:
        yield {}
    elif credentials.password:
        yield _for_https(credentials)
    else:
        with cache.scratch() as scratch:
            yield _for_ssh(credentials, scratch)


def _for_https(credentials: Credentials) -> dict[str, str]:
    pair = f"{credentials.username}:{credentials.password}".encode()
    header = f"Authorization: Basic {base64.b64encode(pair).decode()}"
    # git itself sends it only below this URL; a redirect could lead out of there.
    settings = {f"http.{credentials.url}.extraHeader": header, "http.followRedirects": "false"}
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _for_ssh(credentials: Credentials, folder: Path) -> dict[str, str]:
    identity, config = folder / "identity", folder / "config"
    identity.touch(0o600)
    identity.write_bytes(credentials.identity)
    lines = [
        f'IdentityFile "{identity}"',
        *("IdentitiesOnly yes", "IdentityAgent none", "BatchMode yes", "ForwardAgent no"),
        *("StrictHostKeyChecking yes", "ConnectTimeout 15", "ClearAllForwardings yes"),
    ]
    if credentials.known_hosts:
        (folder / "known_hosts").write_text(credentials.known_hosts + "\n")
        lines += [f'UserKnownHostsFile "{folder / "known_hosts"}"', "GlobalKnownHostsFile none"]
    config.write_text("\n".join(lines) + "\n")
    # git has a shell run this, so its one word of ours is quoted; there is no way without.
    return {"GIT_SSH_COMMAND": f"ssh -F {shlex.quote(str(config))}", "GIT_SSH_VARIANT": "ssh"}


def _is_within(url: str, bound: str) -> bool:
    """Whether `url` is `bound` or lies below it: the same scheme, login, host and port."""
    if "://" not in url or "://" not in bound:
        return url == bound
    one, other = urlsplit(url), urlsplit(bound)
    same = (one.scheme, one.netloc) == (other.scheme, other.netloc)
    return same and f"{one.path}/".startswith(f"{other.path.rstrip('/')}/")


def _decoded(secret: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        way_out = "set it to what `base64 -w0` prints of the private key's file"
        raise CredentialsRefused(secret, "IDENTITY is not base64", way_out) from None
