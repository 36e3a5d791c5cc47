"""What serve.yaml says of how much the daemon keeps of what it sees."""

from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.quantities import Size, Timeout, format_size
from steersman.api.refusal import Refused
from steersman.telemetry import errorlog, samples

LEAST = 16 * 1024 * 1024
_SAMPLES, _ERRORS = samples.Bounds(), errorlog.Bounds()


def check_room(size: int) -> int:
    """Return how many bytes a file may take when something fits in."""
    if size < LEAST:
        raise Refused(str(size), f"at least {format_size(LEAST)}")
    return size


class KeepSamples(Model):
    """`series` are held in memory; `size` is what samples.db may take."""

    series: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = _SAMPLES.series
    size: Annotated[Size, AfterValidator(check_room)] = _SAMPLES.size

    @property
    def bounds(self) -> samples.Bounds:
        return samples.Bounds(series=self.series, size=self.size)


class KeepErrors(Model):
    """Groups of errors, of one app and of all, and for how long after they were seen last."""

    groups: Annotated[int, Field(strict=True, ge=1, le=100_000)] = _ERRORS.groups
    groups_of_app: Annotated[int, Field(strict=True, ge=1, le=100_000)] = _ERRORS.groups_of_app
    age: Timeout = _ERRORS.age

    @property
    def bounds(self) -> errorlog.Bounds:
        # Never less room than before: a file that is full could not be written to get smaller.
        size = max(_ERRORS.size, _ERRORS.size // _ERRORS.groups * self.groups)
        return errorlog.Bounds(
            groups=self.groups, groups_of_app=self.groups_of_app, age=self.age, size=size
        )


class Keep(Model):
    samples: KeepSamples = KeepSamples()
    errors: KeepErrors = KeepErrors()
