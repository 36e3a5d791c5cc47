"""`python -m steersman.cli` is `steer`."""

from steersman.cli.app import main

main()
