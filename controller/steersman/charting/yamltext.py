"""Plain data as YAML text that a reader of YAML 1.1 and one of 1.2 take for the same."""

import re
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """PyYAML quotes what YAML 1.1 would misread; this one also what YAML 1.2 would."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Items of a list are indented below their key, as people write them.
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        # Manifests know no anchors: what is there twice is written twice.
        return True


# https://yaml.org/spec/1.2.2/#103-core-schema: 0o17, 1e3 and 1. are numbers there.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(0o[0-7]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$"),
    list("-+.0123456789"),
)


def write_yaml(data: Any, *, width: float = 100) -> str:
    """Return `data` (JSON's types) as a document in block style, keys in their order."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False,
        width=width,
    )  # fmt: skip
    # PyYAML marks the end of a lone scalar.
    return text.removesuffix("...\n")
