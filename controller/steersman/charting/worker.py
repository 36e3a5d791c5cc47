"""The rendering process: one JSON request on standard input, one JSON answer on standard output.

The name of what is worked on goes to standard error, so that whoever started this can tell what
it was ended for.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from steersman.charting import valueschema
from steersman.charting.engine import Fault, Renderer
from steersman.charting.jail import CPU_SECONDS, TookTooLong, lock_in


def main() -> None:
    """Answer the request, behind the walls of `jail`."""
    request = sys.stdin.buffer.read()
    _warm_up()
    lock_in()
    answer = json.dumps(_answer(json.loads(request)))
    sys.stdout.buffer.write(answer.encode())
    sys.stdout.buffer.flush()
    # No module's clean-up may run any more: it would find the walls.
    os._exit(0)


def _warm_up() -> None:
    """Import what Jinja2 and others only import when they need it: soon they cannot."""
    Renderer({"x": "{{ [3] | toyaml }}{{ 'x' | tojson | indent }}"}, {}).render("x")
    Renderer({"x": "{{ nothing.at_all }}"}, {}).render("x")
    Renderer({"x": "{% if %}"}, {}).render("x")
    valueschema.check({"a": 1}, {"properties": {"a": {"type": "string", "pattern": "^(?=a)"}}})


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    schema = request["schema"]
    if schema is not None:
        misfits = _checked(request["objects"]["values"], schema)
        if misfits:
            return {"misfits": [each.data() for each in misfits]}
    renderer = Renderer(request["templates"], request["objects"])
    rendered, faults = {}, []
    for name in request["render"]:
        _tell(name)
        result = renderer.render(name)
        if isinstance(result, Fault):
            faults.append(result.data())
        else:
            rendered[name] = result
    return {"rendered": rendered, "faults": faults}


def _checked(values: Any, schema: Any) -> list[valueschema.Misfit]:
    _tell("values.schema.json")
    try:
        return valueschema.check(values, schema)
    except TookTooLong:
        found, allowed = f"more than {CPU_SECONDS} s of checking", "simpler patterns"
        return [valueschema.Misfit((), found, allowed, is_schema=True)]


def _tell(name: str) -> None:
    sys.stderr.write(f"{name}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
