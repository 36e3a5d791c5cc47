"""How Celery workers are run: by a file that has TERM wait until it is known what has begun."""

from __future__ import annotations

from steersman.drivers.model import Generation, Layout, ProcessUnits
from steersman.drivers.servers import command_of, is_celery_worker, program_at
from steersman.drivers.shipped import source_of


def runner(layout: Layout, generation: Generation) -> str:
    # One for each generation: what runs is restarted by the runner it was started with.
    return f"{layout.units}/steersman-{generation.app}.g{generation.number}.celery.py"


def runner_of(generation: Generation) -> bytes | None:
    """Return what `runner` holds, or None if nothing of the generation is run by it."""
    return source_of("celeryrun") if any(map(_is_ours, generation.processes)) else None


def words_of(layout: Layout, generation: Generation, process: ProcessUnits) -> tuple[str, ...]:
    """Return the command of a process as its supervisor starts it."""
    words = command_of(process.template, process.way)
    if not _is_ours(process):
        return words
    at = program_at(words)
    python = words[0] if at else "python"
    return (python, runner(layout, generation), *words[at + 1 :])


def _is_ours(process: ProcessUnits) -> bool:
    """Whether it is the release's own Celery: another one's Python is not known."""
    argv = process.template.command
    return is_celery_worker(argv) and argv[program_at(argv)] == "celery"
