"""Plugin: where errors, metrics, logs and events of which apps are shipped, and how much waits."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, ValidationError
from pydantic import model_validator as validated

from steersman.api.labels import Term
from steersman.api.meta import Conditions, Object
from steersman.api.model import Model, Number
from steersman.api.names import AppName, EnvName, LabelKey, LabelValue, Name
from steersman.api.placement import Requirement
from steersman.api.quantities import Duration, Size, Timeout
from steersman.api.refusal import Path, Refused
from steersman.api.signals import (
    ErrorReport,
    Happening,
    Level,
    LogRecord,
    Sample,
    Signal,
    SignalName,
)

LEVELS: tuple[Level, ...] = get_args(Level)
_RANK = {level: rank for rank, level in enumerate(LEVELS)}
_REF = frozenset({"secret", "key"})


class SecretRef(Model):
    """In place of a text of `config`: the value that a Secret has under a key."""

    secret: Name
    key: EnvName


Config = Mapping[str, JsonValue]


def _check_config(config: Config) -> Config:
    for path, found in _mappings(config):
        if found.keys() & _REF == _REF:
            try:
                SecretRef.model_validate(found)
            except ValidationError:
                allowed = "{secret: NAME, key: KEY}, the name of a Secret and a key of its data"
                raise Refused("what names no Secret and key", allowed, at=path) from None
    return config


class Select(Model):
    """Which signals are shipped: all of those that every given part lets through.

    With `apps`, or with anything asked of labels, signals of those apps alone: of hosts, and of
    the controller, none. `level` is the least of log lines, errors and events (a Normal one is
    info); `reasons` are of events, as `steer events` shows them.
    """

    apps: tuple[AppName, ...] | None = None
    selector: Mapping[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()
    level: Level = "debug"
    reasons: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")], ...] | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """Everything that is asked of an app's labels."""
        equal = (Term(key, frozenset({value})) for key, value in self.selector.items())
        return (*equal, *(each.term for each in self.match_expressions))

    def lets(self, signal: Signal, labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Return whether a signal is meant; `labels` are those of apps, by their names."""
        if self.apps is not None or self.selector or self.match_expressions:
            app = app_of(signal)
            if self.apps is not None and app not in self.apps:
                return False
            found = labels.get(app)
            if found is None or not all(term.matches(found) for term in self.terms):
                return False
        if isinstance(signal, Happening) and not self._wants(signal.reason):
            return False
        return _RANK[level_of(signal)] >= _RANK[self.level]

    def _wants(self, reason: str) -> bool:
        return self.reasons is None or reason in self.reasons


def app_of(signal: Signal) -> str:
    """Return the app that a signal is of; "" for one of a host or of the controller."""
    return signal.labels.get("app", "") if isinstance(signal, Sample) else signal.origin.app


def level_of(signal: Signal) -> Level:
    """Return how grave a signal is; what has no gravity, such as a sample, always passes."""
    if isinstance(signal, LogRecord | ErrorReport):
        return signal.level
    if isinstance(signal, Happening):
        return "warning" if signal.is_warning else "info"
    return "critical"


class Buffer(Model):
    """What waits to be shipped, at most; when it is full, the oldest goes, and is counted.

    A batch of at most `batch` signals leaves every `wait`; the first few after a quiet while leave
    at once, and whole ones never wait.
    """

    signals: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 10_000
    size: Size = 32 * 1024 * 1024
    batch: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 500
    wait: Duration = 0.5


class PluginSpec(Model):
    """What is shipped by a plugin of which `type`, and how it is set up.

    `steer plugin list` shows the types that are installed. `signals` are all that the type takes,
    unless given. `config` is the type's own; `{secret: NAME, key: KEY}` in place of a text is the
    value of a Secret, and the plugin begins anew when that changes. A batch that takes longer than
    `timeout` is given up, and the plugin begins anew.
    """

    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$", examples=["sentry", "jsonl"])]
    signals: tuple[SignalName, ...] | None = None
    select: Select = Select()
    config: Annotated[Config, AfterValidator(_check_config)] = Field(default_factory=dict)
    buffer: Buffer = Buffer()
    timeout: Timeout = 30.0

    @validated(mode="after")
    def _takes_something(self) -> "PluginSpec":
        if self.signals is not None and not self.signals:
            allowed = f"some of {', '.join(get_args(SignalName))}, or no `signals`"
            raise Refused("an empty list", allowed, at=("signals",))
        return self


class PluginStatus(Model):
    """How shipping goes. Counts begin anew with the plugin; `dropped` are signals that found no
    room or no mercy, `queued` those that wait."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    signals: tuple[SignalName, ...] = ()
    shipped: Number = 0
    dropped: Number = 0
    queued: Number = 0
    last_success: AwareDatetime | None = None
    last_error: str | None = None
    last_error_time: AwareDatetime | None = None


class Plugin(Object):
    """Where signals are shipped: `kind: Plugin`."""

    kind: Literal["Plugin"] = "Plugin"
    spec: PluginSpec
    status: PluginStatus = PluginStatus()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the Secrets that its config takes values of."""
        return tuple(sorted({ref.secret for _, ref in refs_in(self.spec.config)}))


def refs_in(config: Config) -> Iterator[tuple[Path, SecretRef]]:
    """Yield where a config takes the value of a Secret, and which."""
    for path, found in _mappings(config):
        if found.keys() == _REF:
            yield path, SecretRef.model_validate(found)


def with_values(config: Config, value: Callable[[SecretRef], str]) -> dict[str, Any]:
    """Return the config with a value in place of each reference to a Secret."""

    def filled(found: Any) -> Any:
        if isinstance(found, Mapping):
            if found.keys() == _REF:
                return value(SecretRef.model_validate(found))
            return {key: filled(each) for key, each in found.items()}
        return [filled(each) for each in found] if isinstance(found, list) else found

    return {key: filled(each) for key, each in config.items()}


def _mappings(found: object, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every mapping inside of a value, by its path; the value itself is at ()."""
    if isinstance(found, Mapping):
        if path:
            yield path, found
        for key, each in found.items():
            yield from _mappings(each, (*path, key))
    elif isinstance(found, list | tuple):
        for index, each in enumerate(found):
            yield from _mappings(each, (*path, index))
