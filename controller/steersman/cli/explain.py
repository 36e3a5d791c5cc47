"""steer explain: what the keys of a manifest are."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from steersman.cli.kinds import KINDS, kind_named
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.manifests.fields import FieldDoc

WIDTH = 96
# What runs has no manifest.
_EXPLAINED = tuple(kind for kind in KINDS if kind.kind != "Generation")


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete kinds, then the keys below what is there already."""
    from steersman.manifests.fields import field_at

    *path, last = incomplete.split(".")
    if not path:
        return [each.singular for each in _EXPLAINED if each.singular.startswith(last)]
    found = field_at(kind_named(path[0]).kind, tuple(path[1:]))
    before = ".".join(path)
    return [f"{before}.{each.name}" for each in found.fields if each.name.startswith(last)]


@click.command()
@click.argument("what", metavar="KIND[.FIELD]...", shell_complete=_complete)
@click.option(
    "--recursive", "is_deep", is_flag=True, help="Print the names of all fields below it."
)
@common
def explain(what: str, is_deep: bool) -> None:
    """Say what a field of a manifest is: its type, its default, and what may stand in it.

    \b
      steer explain app                steer explain app.spec.rollout
      steer explain app --recursive    steer explain host.spec.disk.keepFree
    """
    from steersman.manifests.fields import field_at

    word, *path = what.removesuffix(".").split(".")
    kind = kind_named(word).kind
    if kind == "Generation":
        raise click.UsageError("generations have no manifest; `steer get generations` lists them")
    found = field_at(kind, tuple(path))
    click.echo("\n".join(_lines(kind, found, bool(path), is_deep)))


def _lines(kind: str, found: "FieldDoc", is_field: bool, is_deep: bool) -> Iterator[str]:
    yield f"KIND:       {kind}"
    yield "VERSION:    steersman/v1"
    if is_field:
        yield f"\nFIELD: {found.name} {found.type}{_required(found)}"
    facts = list(_facts(found, ""))
    yield from ["", *facts] if facts else []
    if found.description:
        yield "\nDESCRIPTION:"
        yield from _wrapped(found.description, "    ")
    if found.fields:
        yield "\nFIELDS:"
        yield from _tree(found, "  ") if is_deep else _listed(found)


def _listed(found: "FieldDoc") -> Iterator[str]:
    for number, field in enumerate(found.fields):
        yield ("\n" if number else "") + f"  {field.name}\t{field.type}{_required(field)}"
        yield from _facts(field, "    ")
        yield from _wrapped(field.description.split("\n\n")[0], "    ")


def _tree(found: "FieldDoc", indent: str) -> Iterator[str]:
    for field in found.fields:
        yield f"{indent}{field.name}\t{field.type}{_required(field)}"
        yield from _tree(field, indent + "  ")


def _facts(field: "FieldDoc", before: str) -> Iterator[str]:
    if field.choices:
        yield f"{before}enum: {', '.join(field.choices)}"
    if field.default is not None:
        yield f"{before}default: {field.default}"
    elif field.example is not None and not field.choices:
        yield f"{before}example: {field.example}"


def _required(field: "FieldDoc") -> str:
    return " -required-" if field.is_required and field.name[0].islower() else ""


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n") if text else ()):
        if number:
            yield ""
        yield from textwrap.wrap(paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent)
