"""Objects as JSON and YAML documents: what `-o json` and `-o yaml` print."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from steersman.charting.yamltext import write_yaml

Document = Mapping[str, Any]


def write_documents(documents: Sequence[Document], output: str, *, as_list: bool = False) -> str:
    """Return text in `output`: a stream of yaml, or one json value, a List if `as_list`."""
    if output == "yaml":
        return "---\n".join(write_yaml(dict(each)) for each in documents)
    listed = {"apiVersion": "steersman/v1", "kind": "List", "items": list(documents)}
    written = [listed] if as_list else documents
    return "".join(json.dumps(each, indent=2, ensure_ascii=False) + "\n" for each in written)
