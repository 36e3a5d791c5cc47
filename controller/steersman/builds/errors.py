"""What can go wrong between a source and a Build."""

from collections.abc import Sequence

from steersman.api.errors import SteersmanError
from steersman.api.quantities import format_size


class BuildError(SteersmanError):
    """The base of everything a build refuses or fails at."""


class SourceRefused(BuildError):
    """The source names or holds something that steersman will not read."""

    def __init__(self, source: str, why: str, way_out: str) -> None:
        super().__init__(f"source {source}: {why}; {way_out}")


class SourceUnreachable(BuildError):
    """The repository did not answer, or let nobody in."""

    retryable = True

    def __init__(self, source: str, why: str) -> None:
        super().__init__(
            f"source {source}: git could not read it: {why};"
            " check the URL, the network and this user's access to it"
        )


class SourceTooLarge(BuildError):
    """The repository sent more than anyone said it may."""

    def __init__(self, source: str, most: int, way_out: str) -> None:
        super().__init__(
            f"source {source}: it sends more than {format_size(most)}, and nothing of it was kept;"
            f" {way_out}"
        )


class SourceChanged(BuildError):
    """The folder was edited between resolving and building it."""

    retryable = True

    def __init__(self, source: str) -> None:
        super().__init__(f"source {source}: it changed while it was read; apply again")


class RefNotFound(BuildError):
    """The repository answered, and has no such branch, tag or commit."""

    def __init__(self, source: str, ref: str, near: Sequence[str], known: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        has = f"one of: {', '.join(known)}" if known else "a commit: it has no branches or tags"
        super().__init__(
            f"source {source}: no branch, tag or commit is named {ref};"
            f" {hint}set spec.source.git.ref to {has}"
        )


class PythonMismatch(BuildError):
    """The source wants another Python than the host has."""

    def __init__(self, wanted: str, where: str, has: str) -> None:
        super().__init__(
            f"{where} asks for Python {wanted}, and the host has Python {has};"
            f" install Python {wanted} on the host, or change {where}"
        )


class DependencyError(BuildError):
    """A dependency could not be resolved, or not made to fit the host."""

    def __init__(self, what: str, why: str, way_out: str) -> None:
        super().__init__(f"{what}: {why}; {way_out}")


class IndexUnreachable(DependencyError):
    """The package index did not answer."""

    retryable = True


class WallsMissing(BuildError):
    """The build would run programs of strangers, and nothing could keep them in."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the build runs programs of strangers, and can have no walls here: {why};"
            " run steer as a root that may make namespaces, lock the app's dependencies with hashes"
            " so that none of them runs, or say `builds: {walls: preferred}` in serve.yaml:"
            " then who may push reads what steer reads"
        )


class StepFailed(BuildError):
    """A command of spec.build.steps did not succeed."""

    def __init__(self, step: str, why: str, tail: Sequence[str]) -> None:
        said = "".join(f"\n    {line}" for line in tail)
        super().__init__(
            f"build step `{step}` {why}; its last lines follow,"
            f" correct spec.build.steps or the source and apply again{said}"
        )
        self.tail = tuple(tail)


class BlobCorrupt(BuildError):
    """Content did not have the digest that it was promised to have."""

    def __init__(self, name: str, wanted: str, found: str) -> None:
        super().__init__(
            f"{name}: its sha256 is {found} instead of {wanted};"
            " remove the file from the cache and apply again"
        )
