"""Whether a commit was signed by somebody who is believed: git asks ssh-keygen or gpg."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steersman.builds.cache import Cache
from steersman.builds.children import run
from steersman.builds.errors import BuildError
from steersman.builds.gitcli import GitCli
from steersman.builds.text import printable

_SHOWN = 200


class NotSigned(BuildError):
    """A commit has no signature that is believed."""

    def __init__(self, source: str, sha: str, why: str) -> None:
        super().__init__(
            f"source {source}: commit {sha[:12]} is not taken: {why};"
            " sign it with a key of spec.verify, or add its signer's key there"
        )


class HistoryUnknown(BuildError):
    """Nobody can tell which commits are new, so nobody can tell that all of them are signed."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(
            f"source {source}: {why}, so that its signatures cannot be told;"
            " look at them yourself, and set spec.verify.mode to HEAD until this commit is applied"
        )


@dataclass(frozen=True, slots=True)
class Trusted:
    """Lines of an allowed signers file, and armored OpenPGP public keys.

    Every commit since `since` must have a signature of theirs, without one only the newest.
    """

    ssh: Sequence[str] = ()
    gpg: Sequence[str] = ()
    since: str | None = None


async def check_signatures(
    git: GitCli, folder: Path, source: str, shas: Sequence[str], trusted: Trusted, cache: Cache
) -> None:
    """Return when each commit has a good signature of somebody in `trusted`; raises NotSigned."""
    with cache.scratch() as scratch:
        signers, home = scratch / "signers", scratch / "gnupg"
        signers.write_text("".join(f"{line}\n" for line in trusted.ssh))
        home.mkdir(0o700)
        env = git.env(folder) | {"GNUPGHOME": str(home)}
        await _keyring(home, env, source, shas[0], trusted.gpg)
        settings = {
            "gpg.ssh.allowedSignersFile": str(signers),
            # Of certificates nobody said anything: no system's store of them shall decide.
            "gpg.x509.program": "/bin/false",
            "gpg.minTrustLevel": "undefined",
        }
        words = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        for sha in shas:
            # One at a time: of several, git does not say whose signature is not good.
            argv = git.argv([*words, "verify-commit", "--raw", sha], folder)
            done = await run(argv, env=env)
            if done.code != 0:
                raise NotSigned(source, sha, _why(done.tail))


async def _keyring(
    home: Path, env: Mapping[str, str], source: str, sha: str, armors: Sequence[str]
) -> None:
    """Make the keyring that gpg verifies with; to import would need its agent."""
    for armor in armors:
        argv = ["gpg", "--batch", "--quiet", "--dearmor"]
        try:
            done = await run(argv, env=env, stdin=armor.encode())
        except FileNotFoundError:
            raise NotSigned(source, sha, "gpg is not installed here to check it") from None
        if done.code != 0:
            raise NotSigned(source, sha, f"gpg does not take a key of spec.verify: {done.last}")
        with (home / "pubring.gpg").open("ab") as keyring:
            keyring.write(done.stdout)


def _why(said: Sequence[str]) -> str:
    if not said:
        return "it is not signed"
    for word, meaning in (
        ("NO_PUBKEY", "its signer's OpenPGP key is not among those that are believed"),
        ("BADSIG", "its signature is not of this commit"),
        ("EXPKEYSIG", "its signer's key had expired"),
        ("REVKEYSIG", "its signer's key was revoked"),
        ("No principal matched", "its signer's SSH key is not among those that are believed"),
    ):
        if any(word in line for line in said):
            return meaning
    return printable(said[-1], _SHOWN)
