"""steer completion: the script that a shell sources."""

import click
from click.shell_completion import get_completion_class

from steersman.cli.app import COMPLETE, steer

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash  echo 'source <(steer completion bash)' >> ~/.bashrc
    zsh   echo 'source <(steer completion zsh)' >> ~/.zshrc
    fish  steer completion fish > ~/.config/fish/completions/steer.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(made(steer, {}, "steer", COMPLETE).source())
