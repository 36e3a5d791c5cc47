"""How a revision of an installation went, said at the end."""

from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.cli.text import printable

if TYPE_CHECKING:
    from steersman.cli.progress import Lines
    from steersman.control.charts import Done


class TakenBack(SteersmanError):
    """An atomic change failed, and what was before is there again."""

    def __init__(self, name: str, revision: int, now: int | None) -> None:
        back = f"revision {now} has what was before" if now is not None else "all of it was removed"
        super().__init__(
            f"installation {name}: revision {revision} failed and was taken back, {back}; see "
            f"`steer chart history {name}`, mend what is said above, then try again"
        )


class NotTakenBack(SteersmanError):
    """An atomic change failed, and so did the way back."""

    def __init__(self, name: str, revision: int) -> None:
        super().__init__(
            f"installation {name}: revision {revision}, which should have brought back what was "
            f"before, failed too; mend what is said above, then `steer chart rollback {name}`"
        )


def conclude_revision(name: str, done: "Done", report: "Lines", *, is_atomic: bool = False) -> None:
    """Say how a revision went; raise an ExceptionGroup of what is wrong."""
    from steersman.cli.sets import tell_protected

    faults = [*_faults(done, report), *done.pruned.errors]
    if is_atomic and not done.is_applied:
        faults += _faults_of_taking_back(name, done)
    tell_protected(done.pruned.protected)
    if done.is_good:
        _say_installed(done)
    if faults:
        raise ExceptionGroup("not as wanted", faults)


def _faults(done: "Done", report: "Lines") -> list[SteersmanError]:
    from steersman.cli.outcomes import conclude

    if done.applied is None:
        return [done.error] if done.error is not None else []
    try:
        conclude(done.applied.outcomes, report, done.applied.jobs)
    except ExceptionGroup as errors:
        return [each for each in errors.exceptions if isinstance(each, SteersmanError)]
    return []


def _faults_of_taking_back(name: str, done: "Done") -> list[SteersmanError]:
    failed, back = done.revision.spec.revision, done.taken_back
    if back is None:
        return [] if done.pruned.errors else [TakenBack(name, failed, None)]
    if back.is_good:
        return [TakenBack(name, failed, back.revision.spec.revision)]
    return [NotTakenBack(name, back.revision.spec.revision)]


def _say_installed(done: "Done") -> None:
    from steersman.cli.chart_look import chart_of

    spec = done.revision.spec
    click.echo(f"NAME: {spec.installation}\nREVISION: {spec.revision}\nSTATUS: deployed")
    click.echo(f"CHART: {chart_of(spec.chart)}\nDESCRIPTION: {spec.description}")
    if spec.notes.strip():
        click.echo(f"NOTES:\n{printable(spec.notes).rstrip()}")
