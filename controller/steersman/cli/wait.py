"""steer wait: until objects are as somebody wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import click

from steersman.api.errors import SteersmanError
from steersman.api.quantities import parse_duration
from steersman.api.refusal import Refused
from steersman.cli.app import Tools
from steersman.cli.kinds import Reference, complete_objects, references
from steersman.cli.options import common, selector
from steersman.cli.text import one_line
from steersman.store.errors import NotStored
from steersman.store.protocol import Object, ObjectStore, Query
from steersman.store.selectors import Selector

FORMS = "condition=Ready, condition=Ready=False, delete, create or jsonpath='{.status.release}'=3"
WEEK = 7 * 24 * 3600.0
Key = tuple[str, str]


class TimedOut(SteersmanError):
    """Something is not as it was waited for."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(
            f"timed out waiting for the condition on {key}: {what};"
            f" `steer describe {key}` tells more, --timeout waits longer"
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """`condition=Ready`, of the object as it is wanted now."""

    type: str
    status: str = "true"

    def is_met(self, obj: Object | None) -> bool:
        found = self._find(obj)
        if found is None or obj is None:
            return False
        # As for kubectl: what does not say which generation it is of counts as of this one.
        observed = int(found.get("observedGeneration") or obj["metadata"]["generation"])
        is_of_now = observed >= int(obj["metadata"]["generation"])
        return is_of_now and str(found["status"]).lower() == self.status.lower()

    def told(self, obj: Object | None) -> str:
        if obj is None:
            return "it is gone"
        found = self._find(obj)
        if found is None:
            return f"it has no condition {self.type}"
        if not self.is_met(obj) and str(found["status"]).lower() == self.status.lower():
            return f"{self.type} is {found['status']} of an earlier generation"
        why = one_line(f"{found.get('reason', '')}: {found.get('message', '')}".strip(": "))
        return f"{self.type} is {found['status']}{f' ({why})' if why else ''}"

    def _find(self, obj: Object | None) -> Mapping[str, Any] | None:
        conditions = (obj or {}).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"].lower() == self.type.lower()), None)


@dataclass(frozen=True, slots=True)
class Existence:
    """`delete` and `create`."""

    is_wanted: bool

    def is_met(self, obj: Object | None) -> bool:
        return (obj is not None) == self.is_wanted

    def told(self, obj: Object | None) -> str:
        return "it is not there" if obj is None else "it is still there"


@dataclass(frozen=True, slots=True)
class Value:
    """`jsonpath={.status.release}=3`; without a value any will do."""

    path: str
    value: str | None

    def is_met(self, obj: Object | None) -> bool:
        found = self._find(obj)
        return found is not None if self.value is None else found == self.value

    def told(self, obj: Object | None) -> str:
        if obj is None:
            return "it is gone"
        found = self._find(obj)
        return f"{self.path} is {one_line(found) if found is not None else 'not there'}"

    def _find(self, obj: Object | None) -> str | None:
        from steersman.cli.jsonpath import parse
        from steersman.cli.jsonpath_nodes import OutOfRange, text_of

        try:
            values = parse(self.path).find(obj) if obj is not None else []
        except OutOfRange:
            return None
        return " ".join(map(text_of, values)) if values else None


Wish = Condition | Existence | Value


class WishType(click.ParamType):  # type: ignore[type-arg]
    """What --for says."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Wish:
        if not isinstance(value, str):
            wish: Wish = value
            return wish
        form, _, rest = value.partition("=")
        if form.lower() in ("delete", "create") and not rest:
            return Existence(form.lower() == "create")
        if form == "condition" and rest:
            type_, _, status = rest.partition("=")
            return Condition(type_, status or "true")
        if form != "jsonpath" or not rest:
            self.fail(f"{value!r}: write {FORMS}", param, ctx)
        return _value(rest)


def _value(text: str) -> Value:
    """Read `{.a.b}=value` or `.a.b=value`; the path is read at once, for its faults."""
    from steersman.cli.jsonpath import parse

    end = text.rfind("}") + 1 if text.startswith("{") else len(text.partition("=")[0])
    path, value = text[:end], text[end:]
    parse(path)
    return Value(path, value.removeprefix("=") if value else None)


@click.command()
@click.argument("what", nargs=-1, required=True, shell_complete=complete_objects)
@click.option("--for", "wish", required=True, type=WishType(), help=f"{FORMS}.")
@click.option(
    "--timeout", default="30s", show_default=True, metavar="DURATION",
    help="How long to wait; 0 looks once, less than 0 waits for a week.",
)  # fmt: skip
@selector
@click.option("--all", "is_all", is_flag=True, help="Every object of the kind.")
@common
@click.pass_obj
def wait(
    tools: Tools,
    what: tuple[str, ...],
    wish: Wish,
    timeout: str,
    selector: str | None,
    is_all: bool,
) -> None:
    """Wait until objects meet a condition; exits 1 if one does not in time, and says what it is.

    \b
      steer wait app/shop --for=condition=Ready --timeout=5m
      steer wait apps --all --for=condition=Ready
      steer wait app/shop --for=delete
      steer wait app/shop --for=jsonpath='{.status.release}'=7
    """
    wanted = references(what)
    for each in wanted:
        if (each.name is None) != (is_all or selector is not None):
            raise click.UsageError("name objects as KIND/NAME, or choose them by -l or --all")
        if each.kind.kind == "Generation":
            raise click.UsageError("generations are only on hosts; wait for their app")
    asyncio.run(_wait(tools, wanted, wish, _seconds(timeout), Selector.parse(selector or "")))


def _seconds(timeout: str) -> float:
    if timeout == "0" or timeout.startswith("-"):
        return 0.0 if timeout == "0" else WEEK
    try:
        return parse_duration(timeout)
    except Refused:
        raise click.UsageError(f"--timeout={timeout}: write a duration such as 30s") from None


async def _wait(
    tools: Tools, wanted: Sequence[Reference], wish: Wish, seconds: float, labels: Selector
) -> None:
    async with tools.store() as store:
        query = Query(frozenset(each.kind.kind for each in wanted))
        page = await store.page(query)
        now = {(one.kind, one.name): one.object for one in page.items}
        keys = _chosen(wanted, now, labels)
        if isinstance(wish, Existence):
            now |= {key: now.get(key) for key in keys}  # type: ignore[misc]
        elif lost := [key for key in keys if key not in now]:
            raise ExceptionGroup("not found", [NotStored(*key) for key in lost])
        if not keys and not (isinstance(wish, Existence) and not wish.is_wanted):
            raise SteersmanError("no matching objects found; `steer get all` lists what there is")
        left = _Left(wish, keys, now)
        left.look(keys)
        try:
            async with asyncio.timeout(seconds):
                await left.follow(store, query, page.revision)
        except TimeoutError:
            raise ExceptionGroup("timed out", left.errors()) from None


def _chosen(wanted: Sequence[Reference], now: Mapping[Key, Object], labels: Selector) -> list[Key]:
    keys: list[Key] = []
    for each in wanted:
        if each.name is not None:
            keys.append((each.kind.kind, each.name))
            continue
        of_kind = [key for key in now if key[0] == each.kind.kind]
        keys += [k for k in of_kind if labels.matches(now[k]["metadata"].get("labels") or {})]
    return list(dict.fromkeys(keys))


class _Left:
    """The objects that do not meet the condition yet, as they are now."""

    def __init__(self, wish: Wish, keys: Collection[Key], now: Mapping[Key, Object]) -> None:
        self._wish = wish
        self._left = list(keys)
        self._now: dict[Key, Object | None] = dict(now)

    def look(self, keys: Collection[Key]) -> None:
        """Say which of these meet the condition by now."""
        for kind, name in [key for key in keys if key in self._left]:
            if self._wish.is_met(self._now.get((kind, name))):
                self._left.remove((kind, name))
                click.echo(f"{kind.lower()}/{name} condition met")

    async def follow(self, store: ObjectStore, query: Query, since: int) -> None:
        """Return when nothing is left."""
        from steersman.cli.watching import changes

        if not self._left:
            return
        async with aclosing(changes(store, query, since)) as following:
            async for change in following:
                key = change.kind, change.name
                self._now[key] = None if change.type == "DELETED" else change.object
                self.look([key])
                if not self._left:
                    return

    def errors(self) -> list[SteersmanError]:
        return [
            TimedOut(f"{kind.lower()}/{name}", self._wish.told(self._now.get((kind, name))))
            for kind, name in self._left
        ]
