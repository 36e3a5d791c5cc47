"""What is asked of labels, wherever it was written: on the command line or in a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One requirement: the label `key` is among `values` (None: has any), or `negated` is not."""

    key: str
    values: frozenset[str] | None
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As in Kubernetes, an absent label satisfies a negated term."""
        value = labels.get(self.key)
        met = value is not None and (self.values is None or value in self.values)
        return met != self.negated

    @property
    def text(self) -> str:
        """The term as kubectl's `-l` takes it: `role=web`, `role notin (api,web)`, `!old`."""
        if self.values is None:
            return f"!{self.key}" if self.negated else self.key
        if len(self.values) == 1:
            return f"{self.key}{'!=' if self.negated else '='}{next(iter(self.values))}"
        return f"{self.key} {'notin' if self.negated else 'in'} ({','.join(sorted(self.values))})"
