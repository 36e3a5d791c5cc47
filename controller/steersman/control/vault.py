"""The values of Secrets that the controller keeps: sealed at rest, masked when opened."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.mask import Masks
from steersman.api.objects import dump_object
from steersman.api.release import Release
from steersman.api.secret import Secret, SecretStatus
from steersman.control.marks import APPLY
from steersman.control.memory import Memory, NotFound
from steersman.control.release import kept, secret_version
from steersman.sealing.age import BadKey, NotOpened
from steersman.sealing.keyring import Keyring
from steersman.sealing.values import open_value, seal_value
from steersman.store.protocol import Object, Store, Stored

Values = Mapping[str, str]
Write = Callable[[Object], Awaitable[Stored]]


class VaultLocked(SteersmanError):
    """What is kept of a Secret cannot be opened with the keys that are here."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"the kept values of secret {name}: {why}; or apply its manifest with every value again"
        )


class NotKept(SteersmanError):
    """A manifest has digests in place of values, and this controller never had the values."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        super().__init__(
            f"secret {name}: {', '.join(keys)} is a digest (`stored`) of a value that this"
            " controller does not keep; write where the value comes from instead"
        )


async def _put(store: Store, expected: int | None, manager: str, target: Object) -> Stored:
    return await store.put(target, expected, manager=manager)


class Vault:
    """Keeps every version of a Secret that a release may still need.

    The store holds them sealed to this controller's own key, one text for each version. Whatever
    is opened here is masked in what hosts say from then on.
    """

    def __init__(self, memory: Memory, keys: Keyring) -> None:
        self.masks = Masks()
        self._memory = memory
        self._keys = keys
        self._opened: dict[tuple[str, str], Values] = {}

    async def put(
        self,
        secret: Secret,
        values: Values,
        *,
        expected: int | None = None,
        manager: str = APPLY,
        write: Write | None = None,
    ) -> str:
        """Remember a Secret, if it was read at `expected`; return created, configured, unchanged.

        Raises Conflict before any value is kept. `write` puts the object, with digests in place of
        the values, if not the store's `put`.
        """
        store = self._memory.store
        merged = await self.with_kept(secret, values)
        masked = await self.masked(secret, merged)
        if expected is None:
            masked = await self._memory.with_our_annotations(masked)
        else:
            await store.put(dump_object(masked), expected, manager=manager, dry_run=True)
        version = await self.version_of(merged)
        before = await self._memory.secret_version(secret.name)
        texts = dict(await store.get_secret(secret.name) or {})
        if version not in texts:
            self._keys.make()
            texts[version] = self._seal(secret.name, version, merged)
            await store.put_secret(secret.name, texts)
        target = dump_object(masked)
        put = write if write is not None else partial(_put, store, expected, manager)
        stored = await put(target)
        status = SecretStatus(observed_generation=stored.generation, version=version)
        await self._memory.set_secret_status(secret.name, status)
        # Last: a crash before this leaves a version too many, never one too few.
        needed = {version, *await self._versions_in_use(secret.name)}
        await store.put_secret(secret.name, {v: t for v, t in texts.items() if v in needed})
        is_changed = before != version and stored.change == "unchanged"
        return "configured" if is_changed else stored.change

    async def with_kept(self, secret: Secret, values: Values) -> dict[str, str]:
        """Return `values`, and those that are kept already of the Secret's other keys.

        Raises NotKept when there is none, or VaultLocked.
        """
        self.masks.learn(values.values())
        missing = [key for key in secret.spec.data if key not in values]
        old = (await self._current(secret.name) or {}) if missing else {}
        lost = [key for key in missing if key not in old]
        if lost:
            raise NotKept(secret.name, lost)
        return {**{key: old[key] for key in missing}, **values}

    async def masked(self, secret: Secret, values: Values) -> Secret:
        """Return the Secret as it may be stored and shown: digests in place of `values`."""
        key = await self._memory.store.key()
        return secret.masked({n: _digest(key, secret.name, n, v) for n, v in values.items()})

    async def current(self, names: Sequence[str]) -> dict[str, Values]:
        """Return the values of the named Secrets as they are now; raises NotFound, VaultLocked."""
        found = {}
        for name in names:
            values = await self._current(name)
            if values is None:
                raise NotFound("Secret", name)
            found[name] = values
        return found

    async def at(self, name: str, version: str) -> Values | None:
        """Return the values of a Secret as they were at `version`, None if that is not kept."""
        sealed = (await self._memory.store.get_secret(name) or {}).get(version)
        return None if sealed is None else self._open(name, version, sealed)

    async def learn(self, names: Sequence[str]) -> VaultLocked | None:
        """Mask every kept version of the named Secrets from now on.

        Returns why some stay unmasked, as after the key of an older version was thrown away.
        """
        locked = None
        for name in names:
            for version, sealed in (await self._memory.store.get_secret(name) or {}).items():
                try:
                    self._open(name, version, sealed)
                except VaultLocked as error:
                    locked = error
        return locked

    async def reseal(self) -> None:
        """Seal everything that is kept to this controller's newest key; raises VaultLocked."""
        store = self._memory.store
        for stored in await store.list("Secret"):
            name, sealed = stored.name, await store.get_secret(stored.name) or {}
            opened = {version: self._open(name, version, text) for version, text in sealed.items()}
            texts = {version: self._seal(name, version, each) for version, each in opened.items()}
            await store.put_secret(name, texts)

    async def version_of(self, values: Values) -> str:
        return secret_version(await self._memory.store.key(), values)

    async def _current(self, name: str) -> Values | None:
        version = await self._memory.secret_version(name)
        return None if version is None else await self.at(name, version)

    async def _versions_in_use(self, name: str) -> set[str]:
        """Return the versions that releases fixed which may serve again as they are."""
        versions = set()
        for app in (await self._memory.apps()).values():
            releases = await self._memory.releases(app.name)
            versions |= {r.spec.secret_versions.get(name, "") for r in _may_serve(app, releases)}
        return versions

    def _seal(self, name: str, version: str, values: Values) -> str:
        return seal_value(name, version, json.dumps(dict(values)), [self._keys.recipient()])

    def _open(self, name: str, version: str, sealed: str) -> Values:
        known = self._opened.get((name, version))
        if known is None:
            try:
                text = open_value(name, version, sealed, self._keys.keys())
            except (NotOpened, BadKey) as error:
                raise VaultLocked(name, str(error)) from None
            known = self._opened[name, version] = dict(json.loads(text))
            self.masks.learn(known.values())
        return known


def _may_serve(app: App, releases: Sequence[Release]) -> list[Release]:
    if not releases:
        return []
    numbers = {releases[-1].spec.number, app.status.release or 0}
    return [one for number in numbers for one in kept(releases, app.spec.history, number)]


def _digest(key: bytes, secret: str, name: str, value: str) -> str:
    text = f"{secret}\0{name}\0{value}".encode()
    return "hmac-sha256:" + hmac.new(key, text, hashlib.sha256).hexdigest()[:32]
