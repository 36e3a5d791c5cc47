"""What is wrong with a chart or with the values it is given: each thing at its place."""

from collections.abc import Sequence

from steersman.api.errors import SteersmanError
from steersman.manifests.problem import Problem


class ChartErrors(SteersmanError):
    """Everything that is wrong, in the order in which it is read."""

    def __init__(self, chart: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join(str(problem) for problem in problems)
            + f"\n{count} with chart {chart}; mend what is named above, look with `steer chart"
            " template`, then try again"
        )
