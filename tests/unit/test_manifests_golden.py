"""Error texts, whole: tests/golden/manifests holds each manifest and beside it what is said of it.

To accept new texts, delete the .txt files and run this once: it writes those that are missing.
"""

from pathlib import Path

import pytest

from steersman.manifests import ManifestErrors, load

GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"
MANIFESTS = sorted(each.name for each in GOLDEN.iterdir() if each.suffix != ".txt")


@pytest.mark.parametrize("name", MANIFESTS)
def test_what_is_said_of_a_wrong_manifest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ManifestErrors) as caught:
        load([name])
    said = f"{caught.value}\n"
    expected = GOLDEN / f"{name}.txt"
    if not expected.exists():
        expected.write_text(said)
        pytest.fail(f"{expected.name} was missing: it is written now, read it")
    assert said == expected.read_text()


def test_no_golden_text_is_left_behind() -> None:
    texts = {each.stem for each in GOLDEN.glob("*.txt")}
    assert texts == set(MANIFESTS)


def test_no_secret_is_told() -> None:
    said = (GOLDEN / "secret.yaml.txt").read_text()
    assert "hunt" not in said
    assert "1234567890" not in said
