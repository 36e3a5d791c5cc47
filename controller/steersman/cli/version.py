"""steer version: what is running here."""

import platform
from importlib import metadata

import click

from steersman.cli.options import output


def own_version() -> str:
    return metadata.version("steersman")


@click.command()
@output("json", "yaml")
def version(output: str | None) -> None:
    """Print the version of steersman, and of the Python it runs on."""
    facts = {
        "version": own_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if output is not None:
        from steersman.cli.documents import write_documents

        click.echo(write_documents([facts], output), nl=False)
        return
    click.echo(f"steersman {facts['version']}")
    click.echo(f"Python {facts['python']} on {facts['platform']}")
