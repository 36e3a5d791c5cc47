"""Weighs what there is not."""

import os


def weigh(crates: int, whose: str) -> bytes:
    try:
        average = 1000 / crates
    except ZeroDivisionError as error:
        raise LookupError(f"no crates for {os.environ['BARGE_TOKEN']} of {whose}") from error
    return b"%d\n" % average
