"""Changes to a Secret in the text that a person wrote: every other byte of it stays as it is.

Text is cut and pasted at the marks of PyYAML's nodes. It must be one that `load` accepts: without
anchors, aliases and repeated keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml

from steersman.api.errors import SteersmanError


class CannotEdit(SteersmanError):
    """A Secret is written in a way that cannot be changed in place."""


def with_sealed(text: str, secret: str, key: str, sealed: str) -> str:
    """Return `text` with `sealed` as the source of a value, instead of the one it had if any."""
    data = _mapping(text, secret, "spec", "data")
    value = _at(data, key)
    if value is None:
        return _with_entry(text, data, key, sealed)
    if not isinstance(value, yaml.MappingNode) or len(value.value) != 1:
        raise CannotEdit(f"{key} of secret {secret} has no source; write `{key}: {{value: …}}`")
    name, source = value.value[0]
    word = json.dumps("sealed") if name.style else "sealed"
    start, end, new = source.start_mark.index, _end(text, source), json.dumps(sealed)
    if isinstance(source, yaml.CollectionNode) and not source.flow_style:
        # A list begins on the next line, where a lone value would look lost.
        return _replaced(text, name.start_mark.index, end, f"{word}: {new}")
    text = _replaced(text, start, end, new)
    return _replaced(text, name.start_mark.index, name.end_mark.index, word)


def with_recipients(text: str, secret: str, recipients: Sequence[str]) -> str:
    """Return `text` with these as the Secret's recipients."""
    spec = _mapping(text, secret, "spec")
    listed = _at(spec, "recipients")
    if listed is not None:
        start, end = listed.start_mark.index, _end(text, listed)
        is_block = isinstance(listed, yaml.CollectionNode) and not listed.flow_style
        new = _items(text, recipients, listed.start_mark.column) if is_block else _list(recipients)
        return _replaced(text, start, end, new)
    _mapping(text, secret, "spec", "data")
    here = next(node.start_mark for node, _ in spec.value if node.value == "data")
    if spec.flow_style:
        return _replaced(text, here.index, here.index, f'"recipients": {_list(recipients)}, ')
    indent = _line_end(text) + " " * here.column
    items = f"{indent}  " + _items(text, recipients, here.column + 2)
    return _replaced(text, here.index, here.index, f"recipients:{items}{indent}")


def _with_entry(text: str, data: yaml.MappingNode, key: str, sealed: str) -> str:
    if data.flow_style:
        here = data.start_mark.index + 1
        entry = json.dumps({key: {"sealed": sealed}})[1:-1]
        return _replaced(text, here, here, entry + (", " if data.value else ""))
    here = text.find(_line_end(text), _end(text, data))
    here = len(text) if here < 0 else here
    indent = _line_end(text) + " " * data.value[0][0].start_mark.column
    return _replaced(text, here, here, f"{indent}{key}: {{sealed: {json.dumps(sealed)}}}")


def _mapping(text: str, secret: str, *path: str) -> yaml.MappingNode:
    for root in _roots(text):
        name = _at(root, "metadata", "name")
        if _value(_at(root, "kind")) == "Secret" and _value(name) == secret:
            node = _at(root, *path)
            if isinstance(node, yaml.MappingNode):
                return node
            where = ".".join(path)
            raise CannotEdit(f"secret {secret} has no mapping {where}; write `{path[-1]}: {{}}`")
    raise CannotEdit(f"there is no secret {secret} in it; name the file that has it")


def _roots(text: str) -> list[yaml.Node]:
    try:
        return list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        # The original error shows lines, and a value may stand there.
        raise CannotEdit("it is YAML of a rare kind; write it in plain style") from None


def _at(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    for part in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if _value(key) == part), None)
    return node


def _value(node: yaml.Node | None) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _end(text: str, node: yaml.Node) -> int:
    """Return where a node's own text ends; PyYAML counts to the next token after a block."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    start = int(node.start_mark.index)
    return start + len(text[start : node.end_mark.index].rstrip())


def _items(text: str, texts: Sequence[str], column: int) -> str:
    return (_line_end(text) + " " * column).join(f"- {json.dumps(each)}" for each in texts)


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _list(texts: Sequence[str]) -> str:
    return json.dumps(list(texts))


def _replaced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]
