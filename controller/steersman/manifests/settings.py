"""A file of settings -> one model, or every problem in it with its line and column."""

from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from steersman.manifests.document import Text
from steersman.manifests.explain import explain
from steersman.manifests.loading import MAX_BYTES, Loader
from steersman.manifests.problem import ManifestErrors, Problem
from steersman.manifests.tree import Node, data_of

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: Path, model: type[Settings]) -> Settings:
    """Return the settings in a YAML file; one that is empty or not there says nothing.

    Raises ManifestErrors with everything that is wrong.
    """
    reader = _Reader(model)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        data = b""
    except OSError as error:
        reader.complain(str(path), error.strerror or str(error), "a file that can be read")
        data = b""
    reader.load_bytes(str(path), path.parent, data)
    if reader.problems:
        raise ManifestErrors(reader.problems)
    return reader.found if reader.found is not None else model()


class _Reader(Loader, Generic[Settings]):
    """Reads documents as `model`, of which there may be one."""

    def __init__(self, model: type[Settings]) -> None:
        super().__init__(None)
        self.found: Settings | None = None
        self._model = model

    def take_root(self, source: Text, root: Node, found: list[Problem]) -> None:
        if self.found is not None:
            what = "one document"
            found.append(Problem(source.name, root.mark, "", "a second document", what))
            return
        try:
            self.found = self._model.model_validate(data_of(root), by_alias=True, by_name=False)
        except ValidationError as error:
            schema: dict[str, Any] = self._model.model_json_schema(by_alias=True)
            faults = [source.problem(fault) for fault in explain(error, schema, root)]
            # A value that could not even be read has no second fault.
            known = {problem.mark for problem in found}
            found += [problem for problem in faults if problem.mark not in known]
