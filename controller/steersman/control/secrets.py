"""The values of Secrets, fetched from where their manifests say they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Refused
from steersman.api.secret import Secret, SecretSource, SecretValue, check_secret_text
from steersman.builds.children import drain, output, started
from steersman.manifests.document import Sourced
from steersman.manifests.secrets import MAX_BYTES, read_beside, refuse_strangers, text_of
from steersman.sealing.age import BadKey, NotOpened
from steersman.sealing.keyring import Keyring
from steersman.sealing.values import open_value

Source = Literal["value", "sealed", "from_file", "from_env", "from_exec"]
EVERY: frozenset[Source] = frozenset({"value", "sealed", "from_file", "from_env", "from_exec"})
"""What a person's own manifests may use."""
PUSHED: frozenset[Source] = frozenset({"value", "sealed"})
"""What a commit may use that others push: no variable, program or file of this machine."""

_NAMES = {"from_file": "fromFile", "from_env": "fromEnv", "from_exec": "fromExec"}
# A password manager may have to ask its server; one that asks a person has no terminal to do so.
PATIENCE = 30.0


class SecretUnresolved(SteersmanError):
    """Values of a Secret are not where its manifest says."""

    def __init__(self, secret: str, faults: Mapping[str, str]) -> None:
        listed = "; ".join(f"{key}: {fault}" for key, fault in faults.items())
        super().__init__(
            f"secret {secret}: {listed}; set the variables, mend the sources, then try again"
        )
        self.faults = dict(faults)


class SecretReader:
    """Fetches values here, where it runs: sealed ones are opened, variables, files and commands
    read. `allowed` says how far the manifests are trusted."""

    def __init__(
        self,
        keys: Keyring,
        environ: Mapping[str, str],
        *,
        allowed: frozenset[Source] = EVERY,
        patience: float = PATIENCE,
    ) -> None:
        self._keys = keys
        self._environ = environ
        self._allowed = allowed
        self._patience = patience

    async def read(
        self, sourced: Sequence[Sourced], *, only: Collection[str] | None = None
    ) -> tuple[Sourced, ...]:
        """Return the objects with the values of their Secrets in them, or of the keys in `only`.

        Raises SecretUnresolved with everything that a Secret lacks.
        """
        return tuple([await self._with_values(each, only) for each in sourced])

    async def _with_values(self, sourced: Sourced, only: Collection[str] | None) -> Sourced:
        secret = sourced.obj
        if not isinstance(secret, Secret):
            return sourced
        data = dict(secret.spec.data)
        faults: dict[str, str] = {}
        for key, source in secret.spec.data.items():
            if only is not None and key not in only:
                continue
            try:
                value = await self._value(secret.name, key, source, sourced)
                data[key] = source if value is None else SecretSource(value=value)
            except (Refused, NotOpened, BadKey) as error:
                faults[key] = str(error)
        if faults:
            raise SecretUnresolved(secret.name, faults)
        spec = secret.spec.model_copy(update={"data": data})
        return replace(sourced, obj=secret.model_copy(update={"spec": spec}))

    async def _value(
        self, secret: str, key: str, source: SecretSource, sourced: Sourced
    ) -> SecretValue | None:
        self._refuse_untrusted(source)
        if source.sealed is not None:
            return check_secret_text(open_value(secret, key, source.sealed, self._keys.keys()))
        if source.from_env is not None:
            if source.from_env not in self._environ:
                raise Refused(f"no variable {source.from_env}", "a variable that is set")
            return check_secret_text(self._environ[source.from_env])
        if source.from_file is not None:
            return check_secret_text(read_beside(source.from_file, sourced.base_dir))
        if source.from_exec is not None:
            refuse_strangers(sourced.file)
            return check_secret_text(await self._said(source.from_exec, sourced.base_dir))
        return source.value

    def _refuse_untrusted(self, source: SecretSource) -> None:
        for name in EVERY - self._allowed:
            if getattr(source, name) is not None:
                raise Refused(
                    f"{_NAMES.get(name, name)} in manifests that others can push",
                    "a sealed value: `steer secret seal` makes one",
                )

    async def _said(self, argv: Sequence[str], folder: Path) -> str:
        """Return what a command prints. No shell runs it, and errors tell nothing of its output."""
        what = f"what {os.path.basename(argv[0])} printed"
        try:
            async with (
                asyncio.timeout(self._patience),
                started(argv, env=self._environ, cwd=folder) as child,
            ):
                said, _ = await asyncio.gather(_read(child), drain(child.stderr))
                code = await child.wait()
        except TimeoutError:
            raise Refused(
                f"the command {argv[0]}, which did not end within {self._patience:g} s",
                "one that needs no terminal: unlock the password manager first",
            ) from None
        except OSError as error:
            raise Refused(f"the command {argv[0]}: {error.strerror}", "one in PATH") from error
        if code != 0 and len(said) <= MAX_BYTES:
            raise Refused(
                f"the command {argv[0]}, which failed with {code}",
                "one that succeeds; run it by hand: its words may hold a value, and are not shown",
            )
        if not said:
            raise Refused(
                f"the command {argv[0]}, which printed nothing", "one that prints a value"
            )
        return text_of(said, what)


async def _read(child: asyncio.subprocess.Process) -> bytes:
    """Return what `child` writes; more than fits into a value ends it."""
    data = b""
    while chunk := await output(child).read(MAX_BYTES):
        data = (data + chunk)[: MAX_BYTES + 1]
        if len(data) > MAX_BYTES and child.returncode is None:
            # What is left is still read: asyncio knows of an end only when the pipes have ended.
            child.kill()
    return data
