"""Who may do what: one pure function over a subject, a verb and an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from steersman.api.errors import SteersmanError
from steersman.api.names import check_app_name
from steersman.api.refusal import Refused

Verb = Literal[
    "get", "list", "watch", "create", "update", "patch", "delete",
    "rollout", "scale", "reconcile", "diff", "run", "logs", "exec",
    "cordon", "check", "trust", "adopt",
]  # fmt: skip
"""`run` starts a job; `exec` is a program of a person's in an app's environment; `adopt` makes
apps known again that a host holds."""

VERBS: tuple[Verb, ...] = get_args(Verb)
READING: frozenset[Verb] = frozenset({"get", "list", "watch"})

# Of its own app. Whether the app is there at all is not a deployer's to decide, so no delete.
_OF_APP: frozenset[Verb] = frozenset(
    {*READING, "create", "update", "patch"}
    | {"rollout", "scale", "reconcile", "diff", "logs", "exec"}
)
_OF_JOB: frozenset[Verb] = frozenset(
    {*READING, "create", "update", "patch", "delete", "diff", "run", "logs"}
)
_DEPLOYER: dict[str, frozenset[Verb]] = {
    "App": _OF_APP,
    "Job": _OF_JOB,
    "Release": READING,
    "Event": READING,
    "Error": READING,
    "Generation": READING,
    "Instance": READING,
    "Object": READING,
    "Sample": READING,
}


class BadScope(SteersmanError):
    """A scope that nobody can be given."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"scope {text[:60]!r} is not known; write read, deploy:APP (one app's name) or admin"
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """`read` sees everything but values and tokens, `deploy` one app, `admin` does all there is."""

    what: Literal["read", "deploy", "admin"]
    app: str | None = None

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read `read`, `deploy:shop` or `admin`; raises BadScope."""
        what, colon, app = text.partition(":")
        try:
            if what == "deploy" and colon:
                return cls("deploy", check_app_name(app))
        except Refused:
            raise BadScope(text) from None
        if text == "read":
            return cls("read")
        if text == "admin":
            return cls("admin")
        raise BadScope(text)

    @property
    def text(self) -> str:
        return self.what if self.app is None else f"{self.what}:{self.app}"


ADMIN = Scope("admin")


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks; `name` is what audit events say."""

    name: str
    scopes: tuple[Scope, ...] = ()

    @property
    def is_admin(self) -> bool:
        return ADMIN in self.scopes


def allows(subject: Subject, verb: Verb, kind: str, app: str | None = None) -> bool:
    """Return whether `subject` may do `verb` to an object of `kind` that belongs to `app`.

    An App belongs to itself. Where no object is meant yet (a list, a watch) `app` is None: what
    comes back is then filtered, object by object, with the verb `get`.
    """
    return any(_allows(scope, verb, kind, app) for scope in subject.scopes)


def _allows(scope: Scope, verb: Verb, kind: str, app: str | None) -> bool:
    if scope.what == "admin":
        return True
    if kind == "Token":
        return False
    if scope.what == "read":
        return verb in READING or verb == "logs"
    # Whoever deploys has to see where; a Host holds no credential.
    if kind == "Host":
        return verb in READING
    is_own = app == scope.app or (app is None and verb in ("list", "watch"))
    return is_own and verb in _DEPLOYER.get(kind, frozenset())


def denial(subject: Subject, verb: str, what: str) -> str:
    """Return the sentence that refuses it."""
    has = ", ".join(scope.text for scope in subject.scopes) or "no scope at all"
    return f"{subject.name} may not {verb} {what}: it has {has}; ask an admin for a token that may"


def grants(scopes: Sequence[str]) -> tuple[Scope, ...]:
    """Read several scopes; raises BadScope."""
    return tuple(dict.fromkeys(Scope.parse(each) for each in scopes))
