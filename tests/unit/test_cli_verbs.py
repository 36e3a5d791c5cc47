"""Every verb in the table is there, and its options go by the same names."""

import click
import pytest

from steersman.cli.app import steer
from steersman.cli.verbs import VERBS

SPELLED = {
    "filenames": ["-f", "--filename"],
    "recursive": ["-R", "--recursive"],
    "output": ["-o", "--output"],
    "selector": ["-l", "--selector"],
}


def commands(command: click.Command) -> list[click.Command]:
    inside = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(each for one in inside for each in commands(one))]


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_is_there_and_explains_itself(verb: str) -> None:
    context = click.Context(steer, info_name="steer")
    found = steer.get_command(context, verb)
    assert isinstance(found, click.Command)
    assert found.name == verb
    for command in commands(found):
        assert command.help, f"{command.name} has no help"
        for parameter in command.params:
            if parameter.name in SPELLED:
                assert parameter.opts == SPELLED[parameter.name]


@pytest.mark.parametrize(
    "verb",
    ["adopt", "annotate", "edit", "events", "explain", "get", "label", "patch", "plugin", "wait"],
)
def test_help_shows_the_verb_at_work(verb: str) -> None:
    command = steer.get_command(click.Context(steer, info_name="steer"), verb)
    assert command is not None and command.help is not None
    assert command.help.count(f"steer {verb} ") >= 2
