"""What the verbs of `steer secret` do with files and with what the controller keeps."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Refused
from steersman.api.secret import Secret, check_secret_text
from steersman.cli.app import Tools
from steersman.cli.openers import Opener, locked_out, opener_of
from steersman.client.errors import OnlyHere
from steersman.control.memory import Memory
from steersman.control.secretfile import SecretFile
from steersman.control.secrets import SecretReader
from steersman.control.vault import Vault
from steersman.manifests import Sourced
from steersman.sealing.age import NotSealable
from steersman.sealing.keyring import Keyring
from steersman.store.sqlite import SqliteStore


async def seal_file(
    tools: Tools,
    path: Path,
    name: str | None,
    new: Mapping[str, str],
    added: Sequence[str],
    *,
    is_all: bool,
) -> str:
    """Seal the plain values of a file in place; return what to say of it."""
    file, opener = SecretFile(path), opener_of(tools)
    reader = SecretReader(tools.keyring(), os.environ)
    changed = _checked(file, name, new)
    told = ""
    for sourced in file.secrets:
        secret = _secret(sourced)
        recipients = await _recipients_to_seal_to(secret, added, opener)
        plain = {key for key, source in secret.spec.data.items() if source.value is not None}
        if is_all:
            plain = {key for key, source in secret.spec.data.items() if source.sealed is None}
        values = {**await _values(reader, sourced, plain), **changed.get(secret.name, {})}
        if values:
            file.put(secret.name, values, recipients)
        told += _told(path, secret.name, "sealed", values, recipients)
    file.save()
    return told + await _locked_out(opener, file)


async def rotate_files(
    tools: Tools,
    paths: Sequence[Path],
    name: str | None,
    new: Mapping[str, str],
    added: Sequence[str],
    without: Sequence[str],
    *,
    is_new: bool,
) -> str:
    """Seal what is sealed in files anew, in place; return what to say of it."""
    keys, opener = tools.keyring(), opener_of(tools)
    files = [SecretFile(path) for path in paths]
    changed = [_checked(file, name, new) for file in files]
    reader = SecretReader(keys, os.environ)
    opened = [await _opened(reader, file) for file in files]
    # Everything could be opened: only now is there a key to change to.
    former = keys.recipients() if is_new else []
    mine = await _new_key(tools, keys) if is_new else None
    told = f"made a new key in {keys.path}; its recipient is {mine}\n" if is_new else ""
    for file, values, set_ in zip(files, opened, changed, strict=True):
        for sourced in file.secrets:
            secret = _secret(sourced)
            found = {**values[secret.name], **set_.get(secret.name, {})}
            listed = secret.spec.recipients or (await opener.recipient(),)
            swapped = [mine if mine and each in former else each for each in listed]
            recipients = _unique([*swapped, *added], without)
            if not recipients:
                raise NotSealable(f"{file.path}: nobody could open it; name somebody with -r")
            if found:
                file.put(secret.name, found, recipients)
            told += _told(file.path, secret.name, "sealed anew", found, recipients)
    for file in files:
        file.save()
    if is_new:
        told += "the older keys stay in that file until you remove them; no release changes\n"
    return told + "".join([await _locked_out(opener, file) for file in files])


async def _new_key(tools: Tools, keys: Keyring) -> str:
    """Make a key and seal what the controller keeps to it; the older keys stay behind it."""
    async with kept_here(tools) as store:
        keys.keys()
        mine = keys.renew()
        await Vault(Memory(store), keys).reseal()
    return mine


def kept_here(tools: Tools) -> SqliteStore:
    """Return the store of this machine; raises OnlyHere where a context means another's."""
    context = tools.daemon()
    if context is not None and context.is_elsewhere:
        raise OnlyHere(
            f"{context.server} gives nobody the values of a Secret; run this on its machine"
        )
    return tools.own_store()


async def values_in(tools: Tools, path: Path, name: str | None) -> dict[str, str]:
    """Return the values of a Secret in a file, from wherever it says they are."""
    file = SecretFile(path)
    reader = SecretReader(tools.keyring(), os.environ)
    (read,) = await reader.read([file.named(name)])
    return _secret(read).given()


async def values_kept(tools: Tools, name: str) -> dict[str, str]:
    """Return the values of a Secret as the controller keeps them."""
    async with kept_here(tools) as store:
        vault = Vault(Memory(store), tools.keyring())
        return dict((await vault.current([name]))[name])


async def _opened(reader: SecretReader, file: SecretFile) -> dict[str, dict[str, str]]:
    found = {}
    for sourced in file.secrets:
        data = _secret(sourced).spec.data
        sealed = {key for key, source in data.items() if source.sealed is not None}
        found[sourced.obj.name] = await _values(reader, sourced, sealed)
    return found


async def _values(reader: SecretReader, sourced: Sourced, keys: set[str]) -> dict[str, str]:
    (read,) = await reader.read([sourced], only=keys)
    given = {key: s.value for key, s in _secret(read).spec.data.items() if key in keys}
    return {key: value.reveal() for key, value in given.items() if value is not None}


def _checked(
    file: SecretFile, name: str | None, new: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """Return the values of --set by the Secret they are for; raises when they do not fit."""
    for key, value in new.items():
        try:
            check_secret_text(value)
        except Refused as refused:
            raise SteersmanError(f"the value of {key}: {refused}") from None
    return {file.named(name).obj.name: new} if new else {}


async def _recipients_to_seal_to(secret: Secret, added: Sequence[str], opener: Opener) -> list[str]:
    listed = list(secret.spec.recipients)
    is_sealed = any(source.sealed is not None for source in secret.spec.data.values())
    if is_sealed and set(added) - set(listed):
        raise NotSealable(
            f"secret {secret.name} holds values that are sealed without the new recipients;"
            " `steer secret rotate` with the same -r seals all of them"
        )
    if not listed and not added:
        return [await opener.recipient()]
    return _unique([*listed, *added], ())


def _unique(recipients: Sequence[str], without: Sequence[str]) -> list[str]:
    cleaned = dict.fromkeys(each.strip() for each in recipients)
    refused = {each.strip() for each in without}
    return [each for each in cleaned if each not in refused]


def _told(
    path: Path, secret: str, done: str, values: Mapping[str, str], recipients: Sequence[str]
) -> str:
    if not values:
        return f"{path}: secret/{secret}: nothing to seal\n"
    to = ", ".join(recipients)
    return f"{path}: secret/{secret}: {done} {', '.join(values)}; {to} can open it\n"


async def _locked_out(opener: Opener, file: SecretFile) -> str:
    """Return a warning for each Secret that the controller itself cannot open."""
    listed = [each for each in file.written() if each.spec.recipients]
    reasons = [await locked_out(opener, each.spec.recipients) for each in listed]
    return "".join(
        f"{file.path}: secret/{secret.name}: {why}\n"
        for secret, why in zip(listed, reasons, strict=True)
        if why
    )


def _secret(sourced: Sourced) -> Secret:
    if not isinstance(sourced.obj, Secret):
        raise SteersmanError(f"{sourced.obj.key} is no Secret; this is a bug in steersman")
    return sourced.obj
