"""Secret: key-values that become variables, and the type that keeps them out of sight."""

import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from steersman.api.errors import SteersmanError
from steersman.api.meta import Conditions, Object
from steersman.api.model import Model, Number
from steersman.api.names import EnvName
from steersman.api.refusal import Refused
from steersman.api.text import Command, InnerPath, has_control

MIN_SECRET = 6
"""Fewer bytes than this cannot be masked in output: they are found everywhere."""

MASK = "«secret»"

Sealed = Annotated[str, Field(pattern=r"^age:[A-Za-z0-9+/]+={0,2}$", max_length=262144)]
Recipient = Annotated[
    str, Field(pattern=r"^(age1[02-9ac-hj-np-z]{58}|ssh-ed25519 [A-Za-z0-9+/]{68}( [!-~ ]*)?)$")
]


class SecretExposed(SteersmanError):
    """Something tried to write a secret where it would be seen."""

    def __init__(self, how: str) -> None:
        super().__init__(
            f"a secret value cannot be {how}; keep its key, or store `Secret.masked()` instead"
        )


class SecretUnread(SteersmanError):
    """A value is needed that was not fetched from where its manifest says it is."""

    def __init__(self, secret: str, key: str) -> None:
        super().__init__(
            f"secret {secret}: the value of {key} was not read from its source; this is a bug in"
            " steersman: please report it"
        )


class SecretValue:
    """A text that only `reveal` shows: it does not print, pickle or serialise."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. For the encoder that sends it to a host or seals it, and no other."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    # A hash would put values into sets and dicts, whose order then tells of them.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise SecretExposed("pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _parse_value,
            serialization=core_schema.plain_serializer_function_ser_schema(_refuse_to_serialise),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "writeOnly": True, "minLength": MIN_SECRET}


def check_secret_text(text: str) -> SecretValue:
    """Return `text` as a secret when it fits in a variable and can be masked."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        # The original error holds the text.
        raise Refused("bytes that are not text", "UTF-8") from None
    if size < MIN_SECRET:
        raise Refused(
            f"fewer than {MIN_SECRET} bytes",
            f"at least {MIN_SECRET}: a shorter value cannot be masked in output; what is not "
            "secret goes under the app's config.env",
        )
    if has_control(text, but="\t"):
        raise Refused(
            "a newline or control character", "one line of text; encode others, as with base64"
        )
    return SecretValue(text)


def _parse_value(value: object) -> SecretValue:
    if isinstance(value, SecretValue):
        return value
    if not isinstance(value, str):
        raise Refused("something other than text", "text; write a number in quotes")
    return check_secret_text(value)


def _refuse_to_serialise(value: SecretValue) -> NoReturn:
    raise SecretExposed("serialised")


class SecretSource(Model):
    """Where one value comes from: exactly one of these.

    `sealed` is safe to commit, and opened by the controller; `fromExec` is a command that runs
    where steer does and prints the value. `stored` is what the controller writes in place of a
    value it keeps: a keyed digest. Applying it again leaves the kept value as it is.
    """

    value: SecretValue | None = None
    sealed: Sealed | None = None
    from_file: InnerPath | None = None
    from_env: EnvName | None = None
    from_exec: Command | None = None
    stored: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_-]{1,128}$")] | None = None

    @model_validator(mode="after")
    def _has_one(self) -> "SecretSource":
        count = len(self.model_dump(exclude_none=True, exclude={"value"}))
        count += self.value is not None
        if count != 1:
            raise Refused(
                f"{count or 'none'} of them", "one of value, sealed, fromFile, fromEnv and fromExec"
            )
        return self


class SecretSpec(Model):
    """Each key of `data` becomes a variable of the apps that name this Secret.

    `recipients` are whose keys open what is sealed here: `steer secret seal` seals to them.
    """

    recipients: tuple[Recipient, ...] = ()
    data: Mapping[EnvName, SecretSource] = Field(default_factory=dict)


class SecretStatus(Model):
    """What the controller keeps; `version` changes when any value does."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    version: str | None = None


class Secret(Object):
    """A secret: `kind: Secret`."""

    kind: Literal["Secret"] = "Secret"
    spec: SecretSpec
    status: SecretStatus = SecretStatus()

    def masked(self, digests: Mapping[str, str]) -> "Secret":
        """Return this Secret with the values that have a digest replaced by it, fit to be stored.

        `digests` are keyed (HMAC), by the keys of `data`: a plain hash could be guessed.
        """
        data = {
            key: SecretSource(stored=digests[key]) if key in digests else source
            for key, source in self.spec.data.items()
        }
        spec = self.spec.model_copy(update={"data": data})
        return self.model_copy(update={"spec": spec})

    def given(self) -> dict[str, str]:
        """Return the values that are in the object itself, by their keys, without `stored` ones.

        Raises SecretUnread when one is still elsewhere: whoever reads manifests fetches it first.
        """
        values = {}
        for key, source in self.spec.data.items():
            if source.value is not None:
                values[key] = source.value.reveal()
            elif source.stored is None:
                raise SecretUnread(self.name, key)
        return values
