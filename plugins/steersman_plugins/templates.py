"""Templates that people write into a config, rendered where they can reach nothing."""

from __future__ import annotations

from typing import Annotated

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

from steersman.api.plugging import PluginError
from steersman.api.refusal import Refused
from steersman.api.signals import Signal
from steersman_plugins.plain import plain

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def check_template(text: str) -> str:
    """Return `text` when it is a template."""
    try:
        _ENVIRONMENT.from_string(text)
    except TemplateError as error:
        allowed = f"a template such as '{{{{ app }}}}: {{{{ text }}}}' ({error})"
        raise Refused("a template that cannot be read", allowed) from None
    return text


Template = Annotated[str, AfterValidator(check_template)]


class Rendering:
    """Renders one template for signals: their fields, `signal`, and `app`, `host` and `text`."""

    def __init__(self, template: str) -> None:
        self._template = _ENVIRONMENT.from_string(template)

    def render(self, signal: Signal) -> str:
        """Return the text for a signal; raises a final PluginError where the template fits not."""
        try:
            return self._template.render(words_of(signal))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise PluginError(f"the template: {error}; change spec.config", is_final=True) from None


def words_of(signal: Signal) -> dict[str, object]:
    """Return what a template may say of a signal."""
    words = plain(signal)
    where = words.get("origin") or words.get("labels") or {}
    text = next((words[key] for key in ("title", "text", "message", "name") if words.get(key)), "")
    return {**words, "app": where.get("app", ""), "host": where.get("host", ""), "text": text}
