"""steer label and steer annotate: set and remove the labels and annotations of objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.kinds import complete_objects, references
from steersman.cli.modify import Document, How, run_change, targets_of
from steersman.cli.options import common, selector
from steersman.cli.text import one_line

Part = Literal["labels", "annotations"]
Changes = Mapping[str, str | None]
F = TypeVar("F", bound=Callable[..., Any])


class HasValue(SteersmanError):
    """A value would be replaced, and nobody said that it may be."""

    def __init__(self, key: str, value: str) -> None:
        super().__init__(
            f"{key!r} already has a value ({one_line(value)}), and --overwrite is not given"
        )


def _options(command: F) -> F:
    for decorate in (
        click.option("--overwrite", is_flag=True, help="Replace values that are there."),
        click.option("--list", "is_listed", is_flag=True, help="Print what there is."),
        click.option("--all", "is_all", is_flag=True, help="Every object of the kind."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        selector,
        common,
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="OBJECT... KEY=VALUE|KEY-...",
                shell_complete=complete_objects)  # fmt: skip
@_options
@click.pass_obj
def label(tools: Tools, /, words: tuple[str, ...], **options: Any) -> None:
    """Set labels (KEY=VALUE) or remove them (KEY-). Apps that a host's labels move are moved.

    A manifest keeps labels that it does not name.

    \b
      steer label host/h1 role=web          steer label host h1 h2 role=web zone=a
      steer label host/h1 role-             steer label hosts -l zone=a role=db --overwrite
      steer label host/h1 --list
    """
    _run(tools, words, "labels", **options)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="OBJECT... KEY=VALUE|KEY-...",
                shell_complete=complete_objects)  # fmt: skip
@_options
@click.pass_obj
def annotate(tools: Tools, /, words: tuple[str, ...], **options: Any) -> None:
    """Set annotations (KEY=VALUE) or remove them (KEY-).

    A manifest keeps annotations that it does not name.

    \b
      steer annotate app/shop steersman/self-heal=off
      steer annotate app/shop owner='the shop team' --overwrite
      steer annotate apps --all owner-      steer annotate app/shop --list
    """
    _run(tools, words, "annotations", **options)


def _run(
    tools: Tools,
    words: Sequence[str],
    part: Part,
    overwrite: bool,
    is_listed: bool,
    is_all: bool,
    dry_run: bool,
    selector: str | None,
) -> None:
    objects = [word for word in words if "=" not in word and not word.endswith("-")]
    changes = _changes([word for word in words if word not in objects], part)
    if not objects:
        raise click.UsageError(f"{part} of what? name objects as KIND/NAME first")
    wanted = references(objects)
    if is_listed and not changes:
        asyncio.run(_list(tools, objects, part, selector, is_all))
        return
    if not changes:
        raise click.UsageError("nothing to do; write KEY=VALUE to set, KEY- to remove, or --list")

    def changed(document: Document) -> Document:
        known = document["metadata"].get(part) or {}
        for key, value in changes.items():
            if value is not None and not overwrite and known.get(key, value) != value:
                raise HasValue(key, known[key])
        merged = {k: v for k, v in {**known, **changes}.items() if v is not None}
        metadata = {k: v for k, v in document["metadata"].items() if k != part}
        return {**document, "metadata": {**metadata, **({part: merged} if merged else {})}}

    run_change(
        tools, wanted, changed, _how(part, changes, dry_run), selector=selector, is_all=is_all
    )


def _changes(words: Sequence[str], part: Part) -> Changes:
    """Return the values by their keys, None for those to remove; raises UsageError."""
    changes: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key if equals else word.removesuffix("-")
        if key in changes:
            raise click.UsageError(f"{key} is named twice; set it or remove it, once")
        try:
            _check(part, key, value)
        except SteersmanError as refused:
            raise click.UsageError(f"{word!r}: {refused}") from refused
        changes[key] = value if equals else None
    return changes


def _check(part: Part, key: str, value: str) -> None:
    from steersman.api.names import check_label_key, check_label_value

    check_label_key(key)
    if part == "labels":
        check_label_value(value)


def _how(part: Part, changes: Changes, is_dry: bool) -> How:
    if part == "annotations":
        return How("steer-annotate", "annotated", "not annotated", is_dry)
    is_removal = all(value is None for value in changes.values())
    return How("steer-label", "unlabeled" if is_removal else "labeled", "not labeled", is_dry)


async def _list(
    tools: Tools, objects: Sequence[str], part: Part, selector: str | None, is_all: bool
) -> None:
    from steersman.cli.context import opened
    from steersman.store.errors import NotStored

    async with opened(tools) as work:
        targets = await targets_of(work, references(objects), selector, is_all)
        for target in targets:
            stored = await work.store.get(target.kind, target.name)
            if stored is None:
                raise NotStored(target.kind, target.name)
            if len(targets) > 1:
                click.echo(f"Listing {part} for {target.key}:")
            for key, value in sorted((stored.metadata.get(part) or {}).items()):
                click.echo(f"{' ' if len(targets) > 1 else ''}{key}={one_line(value)}")
