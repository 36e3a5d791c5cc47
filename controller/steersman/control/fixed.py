"""The values of Secrets as releases use them: those of now, and those that a release fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.api.release import Release
from steersman.control.vault import Vault

Secrets = Mapping[str, Mapping[str, str]]
"""Values by the names of Secrets and their keys."""


class FixedValues:
    """What a vault keeps; `pretended` are Secrets as they would be."""

    def __init__(self, vault: Vault, pretended: Secrets) -> None:
        self._vault = vault
        self._pretended = pretended

    async def versions(self, names: Sequence[str]) -> dict[str, str]:
        """Return the versions that the named Secrets have now."""
        values = await self.current(names)
        return {name: await self._vault.version_of(each) for name, each in values.items()}

    async def of(self, release: Release) -> dict[str, str]:
        """Return the variables that the release fixed, whatever became of its Secrets since."""
        fixed, names = release.spec.secret_versions, release.spec.template.config.secrets
        # What runs before and after it has other versions, and may print those.
        await self._vault.learn(names)
        found: dict[str, str] = {}
        for name, values in (await self.current(names)).items():
            version = fixed.get(name, "")
            is_current = await self._vault.version_of(values) == version
            older = None if is_current else await self._vault.at(name, version)
            found |= values if older is None else older
        return found

    async def current(self, names: Sequence[str]) -> Secrets:
        """Return the values that the named Secrets have now."""
        known = await self._vault.current([n for n in names if n not in self._pretended])
        return {n: self._pretended[n] if n in self._pretended else known[n] for n in names}
