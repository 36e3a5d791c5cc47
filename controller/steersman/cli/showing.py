"""Objects that were found, printed: as tables, names, documents or by a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import click

from steersman.cli.columns import Object, rows_of
from steersman.cli.kinds import Kind, Reference
from steersman.cli.outputs import (
    Format,
    custom_rows,
    labels_of,
    sorted_by,
    write_template,
)
from steersman.cli.tables import table

Found = list[tuple[Kind, Object]]


@dataclass(frozen=True, slots=True)
class Style:
    """How what was found is printed."""

    format: Format = field(default_factory=Format)
    sort_by: str | None = None
    has_labels: bool = False
    has_header: bool = True
    has_managed_fields: bool = False


def show(found: Found, wanted: Sequence[Reference], style: Style) -> None:
    """Print everything that was found for `wanted`; raises what a template complains of."""
    if style.sort_by is not None:
        kinds = {id(one): kind for kind, one in found}
        found = [(kinds[id(o)], o) for o in sorted_by(style.sort_by, [one for _, one in found])]
    name = style.format.name
    if not style.format.is_table and name != "name":
        _show_data([one for _, one in found], wanted, style)
    elif not found:
        if all(each.name is None for each in wanted):
            names = ", ".join(each.kind.plural for each in wanted)
            click.echo(f"no {names} found", err=True)
    elif name == "name":
        for kind, one in found:
            click.echo(f"{kind.singular}/{one['metadata']['name']}")
    else:
        _show_tables(found, style)


def _show_data(objects: Sequence[Object], wanted: Sequence[Reference], style: Style) -> None:
    from steersman.cli.documents import write_documents

    # A generation's name is its app's, which has many.
    has_one_name = len(wanted) == 1 and wanted[0].name is not None
    is_one = has_one_name and wanted[0].kind.kind != "Generation"
    if is_one and not objects:
        return
    if style.format.template:
        data: Any = objects[0] if is_one else _as_list(objects)
        click.echo(write_template(style.format, data), nl=False)
    else:
        name = style.format.name
        click.echo(write_documents(objects, name, as_list=not is_one), nl=False)


def _as_list(objects: Sequence[Object]) -> Mapping[str, Any]:
    return {"apiVersion": "steersman/v1", "kind": "List", "items": list(objects)}


def _show_tables(found: Found, style: Style) -> None:
    now = datetime.now(UTC)
    if style.format.template:
        rows = custom_rows(style.format, [one for _, one in found])
        click.echo(table(rows[0 if style.has_header else 1 :]), nl=False)
        return
    groups = [(kind, [one for _, one in each]) for kind, each in groupby(found, lambda f: f[0])]
    for number, (kind, objects) in enumerate(groups):
        rows = rows_for(kind, objects, style, now)
        # Among several kinds a name alone says too little.
        if len(groups) > 1 and rows[0][0] == "NAME":
            rows = [rows[0], *([f"{kind.singular}/{row[0]}", *row[1:]] for row in rows[1:])]
        shown = rows[0 if style.has_header else 1 :]
        click.echo(("\n" if number and style.has_header else "") + table(shown), nl=False)


def rows_for(kind: Kind, objects: Sequence[Object], style: Style, now: datetime) -> list[list[str]]:
    """Return the header and a row for each object of one kind."""
    if style.format.template:
        return custom_rows(style.format, objects)
    rows = rows_of(kind.kind, objects, style.format.name == "wide", now)
    if style.has_labels:
        cells = ["LABELS", *map(labels_of, objects)]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    return rows
