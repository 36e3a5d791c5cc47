"""Repository: a git repository of manifests that the controller follows."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from steersman.api.meta import Conditions, Object
from steersman.api.model import Flag, Model, Number
from steersman.api.names import Name
from steersman.api.quantities import Size, Timeout
from steersman.api.refusal import Refused, quoted
from steersman.api.source import GitRef, check_git_url
from steersman.api.text import InnerPath, has_control

SUSPENDED = "steersman/suspended"
"""Any value but "false" has a Repository left alone; a manifest that does not name it keeps it."""

LEAST_INTERVAL = 5.0
_SIGNER = re.compile(
    r"(?:[^\s#][^\s]* +)?(?:[a-z][^\s]* +)?"
    r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+) +[A-Za-z0-9+/=]+"
    r"(?: [^\n]*)?"
)
_ARMOR = re.compile(
    r"\s*-----BEGIN PGP PUBLIC KEY BLOCK-----\n[\x20-\x7e\n]+-----END PGP PUBLIC KEY BLOCK-----\s*"
)
_MOST_ARMOR = 1 << 20


def check_signer(line: str) -> str:
    """Return a line of an allowed signers file (ssh-keygen(1)); a bare key is for everybody."""
    if not _SIGNER.fullmatch(line) or has_control(line):
        raise Refused(
            quoted(line),
            "a line of an allowed signers file, such as `ann@example.com ssh-ed25519 AAAA…`",
        )
    return line if not line.startswith(("ssh-", "ecdsa-", "sk-")) else f"* {line}"


def check_public_keys(armor: str) -> str:
    """Return `armor` when it is what `gpg --export --armor` prints."""
    if len(armor) > _MOST_ARMOR or not _ARMOR.fullmatch(armor):
        raise Refused(
            quoted(armor), "public keys as `gpg --export --armor` prints them, at most 1 MiB"
        )
    return armor


def check_interval(seconds: float) -> float:
    """Return how long to wait between two looks when it is at least five seconds."""
    if seconds < LEAST_INTERVAL:
        raise Refused(f"{seconds:g}s", f"at least {LEAST_INTERVAL:g}s; a webhook is faster")
    return seconds


class Signers(Model):
    """Whose signatures are believed, and which commits must have one of them.

    With mode `HEAD` that is the commit which is applied, with `All` every commit that it brings
    since the one applied before.
    """

    mode: Literal["HEAD", "All"] = "HEAD"
    ssh: tuple[Annotated[str, AfterValidator(check_signer)], ...] = ()
    gpg: tuple[Annotated[str, AfterValidator(check_public_keys)], ...] = ()

    @model_validator(mode="after")
    def _has_one(self) -> "Signers":
        if not self.ssh and not self.gpg:
            raise Refused("nobody", "at least one key under ssh or gpg")
        return self


class RepositorySpec(Model):
    """What is followed, and how often it is looked at.

    `path` is the folder whose .yaml, .yml and .json files are applied, with those of its folders.
    `prune` removes what the repository says no more. `maxFetch` is how much it may send at once,
    packed. `credentials` names a Secret with URL, which
    begins the URLs that it is for, and USERNAME and PASSWORD, or IDENTITY (a private key in
    base64) and KNOWN_HOSTS.
    """

    url: Annotated[str, AfterValidator(check_git_url)]
    ref: GitRef = "main"
    path: InnerPath | None = None
    interval: Annotated[Timeout, AfterValidator(check_interval)] = 60.0
    prune: Flag = False
    suspend: Flag = False
    verify: Signers | None = None
    max_fetch: Size = 512 * 10**6
    credentials: Name | None = None


Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class RepositoryStatus(Model):
    """Which commit is applied, and what of it is there; both stay as they were when one fails."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    applied_commit: Commit | None = None
    applied_subject: str | None = None
    seen_commit: Commit | None = None
    inventory: tuple[str, ...] = ()


class Repository(Object):
    """A repository of manifests: `kind: Repository`."""

    kind: Literal["Repository"] = "Repository"
    spec: RepositorySpec
    status: RepositoryStatus = RepositoryStatus()

    @property
    def is_suspended(self) -> bool:
        """Whether it is left alone; the manifest and an annotation may say so."""
        return self.spec.suspend or self.metadata.annotations.get(SUSPENDED, "false") != "false"
