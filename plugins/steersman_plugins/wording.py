"""Names that other systems accept: whatever apps and hosts say ends as plain bounded words."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.refusal import Refused, quoted
from steersman.api.signals import Sample
from steersman_plugins.series import MOST_TEXT, labels_of

_PLACE = ("host", "app", "process", "instance", "release", "route")
_BLANK = re.compile(r"\{([a-z_]*)\}")
_TEMPLATE = re.compile(r"(?:[A-Za-z0-9_-]|\{[a-z_]+\})+(?:\.(?:[A-Za-z0-9_-]|\{[a-z_]+\})+)*")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|")
_NOT_IN_WORD = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_DOTS = re.compile(r"\.{2,}")


def word(text: str) -> str:
    """Return `text` as one word of a dotted name; one that says nothing is `_`."""
    return _NOT_IN_WORD.sub("_", text[:MOST_TEXT]) or "_"


def dotted_name(text: str) -> str:
    """Return `text` as a dotted name: no empty word, and nothing that ends a line or a field."""
    return _DOTS.sub(".", _NOT_IN_NAME.sub("_", text[:MOST_TEXT])).strip(".") or "_"


def fill(template: str, sample: Sample) -> str:
    """Return the dotted name of `sample`: `{name}`, each `{label}`, and the rest as `{labels}`."""
    labels = dict(labels_of(sample))
    named = set(_BLANK.findall(template))

    def said(match: re.Match[str]) -> str:
        blank = match[1]
        if blank == "name":
            return dotted_name(sample.name)
        if blank != "labels":
            return word(labels.get(blank, ""))
        rest = [label for label in _PLACE if label in labels and label not in named]
        rest += [label for label in labels if label not in _PLACE and label not in named]
        return ".".join(word(labels[label]) for label in rest)

    return _DOTS.sub(".", _BLANK.sub(said, template)).strip(".") or "_"


def _check_template(template: str) -> str:
    if not _TEMPLATE.fullmatch(template) or "{name}" not in template:
        raise Refused(
            quoted(template),
            "words with dots between them, of letters, digits, _, -, and {name} (required), "
            "{labels}, or a label such as {app}",
        )
    return template


def _check_prefix(prefix: str) -> str:
    if len(prefix) > 100 or not _PREFIX.fullmatch(prefix):
        raise Refused(quoted(prefix), "words of letters, digits, _ and -, with dots between them")
    return prefix


Template = Annotated[
    str, AfterValidator(_check_template), Field(examples=["{name}.{labels}", "apps.{app}.{name}"])
]
Prefix = Annotated[str, AfterValidator(_check_prefix), Field(examples=["prod.deploys"])]
