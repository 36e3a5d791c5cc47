"""Manifests applied as one set: what `-l` leaves of them, and what --prune deletes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.manifests import Loaded, Sourced
    from steersman.planning.inventory import Key, Pruning

F = TypeVar("F", bound=Callable[..., Any])

MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class Set:
    """What to apply. `keys` are all that the manifests say, those that `-l` leaves out too."""

    objects: tuple[Sourced, ...]
    keys: frozenset[Key]
    inventory: str | None = None
    is_pruned: bool = False


def inventory(command: F) -> F:
    """--inventory NAME as `inventory: str | None`."""
    return click.option(
        "--inventory",
        metavar="NAME",
        callback=_check_name,
        help="What the set of manifests is called, for --prune.",
    )(command)


def _check_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (value.strip() and value.isprintable() and len(value) <= MAX_NAME):
        raise click.BadParameter(f"write a name of 1 to {MAX_NAME} printable characters")
    return value


def set_of(
    loaded: Loaded,
    selector: str | None = None,
    inventory: str | None = None,
    *,
    is_pruned: bool = False,
) -> Set:
    """Return what to apply of manifests; raises UsageError for a --prune of no known set."""
    from steersman.api.errors import SteersmanError
    from steersman.planning.inventory import key_of
    from steersman.store.selectors import Selector

    if is_pruned and inventory is None and selector is None:
        raise click.UsageError(
            "--prune of which set? name it with --inventory NAME, or choose it by -l LABELS"
        )
    if is_pruned and inventory is None:
        inventory = f"-l {selector}"
    chosen = Selector.parse(selector or "")
    objects = tuple(o for o in loaded.objects if chosen.matches(o.obj.metadata.labels))
    if not objects:
        raise SteersmanError(f"-l {selector}: no object of the manifests has these labels")
    keys = frozenset(key_of(each.obj) for each in loaded.objects)
    return Set(objects, keys, inventory, is_pruned)


async def would_prune(work: Work, wanted: Set) -> Pruning:
    """Return what pruning would delete, nothing unless it was asked for."""
    from steersman.planning.inventory import Pruning

    if wanted.inventory is None or not wanted.is_pruned:
        return Pruning()
    objects = [each.obj for each in wanted.objects]
    return await work.controller.pruner.would_prune(wanted.inventory, wanted.keys, objects)


def tell_protected(protected: Mapping[Key, str]) -> None:
    """Name what pruning left, and why."""
    for key, why in protected.items():
        click.echo(f"warning: {key} was not pruned: {why}", err=True)
