"""`steer chart create`: the folder to begin a chart with."""

import os
from collections.abc import Iterator
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.api.names import check_app_name

FILES = Path(__file__).parent / "starting-chart"
_NAME = "CHART-NAME"


class CannotCreate(SteersmanError):
    """There is something where the chart would be."""


def create(folder: Path) -> Iterator[Path]:
    """Write a chart named as the folder, and yield what was written.

    Raises CannotCreate, and Refused for a name that nothing can have.
    """
    name = check_app_name(folder.name)
    if os.path.lexists(folder):
        raise CannotCreate(f"{folder} is there already; name another folder, or move it away")
    for source in sorted(each for each in FILES.rglob("*") if each.is_file()):
        path = folder / source.relative_to(FILES)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.read_text().replace(_NAME, name))
        yield path
