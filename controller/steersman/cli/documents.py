"""Objects as JSON and YAML documents: what `-o json` and `-o yaml` print."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

Document = Mapping[str, Any]


class _Dumper(yaml.SafeDumper):
    """PyYAML quotes what YAML 1.1 would misread; this one also what YAML 1.2 would."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Items of a list are indented below their key, as people write them.
        super().increase_indent(flow, False)


# https://yaml.org/spec/1.2.2/#103-core-schema: 0o17, 1e3 and 1. are numbers there.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(0o[0-7]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$"),
    list("-+.0123456789"),
)


def write_documents(documents: Sequence[Document], output: str, *, as_list: bool = False) -> str:
    """Return text in `output`: a stream of yaml, or one json value, a List if `as_list`."""
    if output == "yaml":
        return "---\n".join(_yaml(each) for each in documents)
    listed = {"apiVersion": "steersman/v1", "kind": "List", "items": list(documents)}
    written = [listed] if as_list else documents
    return "".join(json.dumps(each, indent=2, ensure_ascii=False) + "\n" for each in written)


def _yaml(document: Document) -> str:
    text: str = yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text
