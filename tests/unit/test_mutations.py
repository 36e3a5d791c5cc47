"""The planted faults can still be planted: `make mutations` shows that each is noticed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from mutations.fault import Fault, Gone
from mutations.table import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_code_and_its_test_is_there(fault: Fault) -> None:
    before = (ROOT / fault.file).read_text()
    assert fault.planted_in(before) != before
    path, *names = fault.test.partition("[")[0].split("::")
    text = (ROOT / path).read_text()
    # What a class inherits stands elsewhere.
    for name in names[:1] or ["test_"]:
        assert re.search(rf"^(async def|def|class) {name}", text, re.MULTILINE), fault.test


def test_each_fault_has_a_name_of_its_own() -> None:
    assert Counter(fault.name for fault in FAULTS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("text", ["nothing of it", "a gate and a gate"])
def test_a_fault_whose_text_is_gone_is_refused(text: str) -> None:
    fault = Fault("no-gate", "app.py", "a gate", "", "tests/x.py")
    with pytest.raises(Gone, match=r"no-gate: app\.py has its text"):
        fault.planted_in(text)
