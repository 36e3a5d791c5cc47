"""diff --save and apply --plan, on what is remembered: no host is reached here."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.cli.app import run

Steer = Callable[..., tuple[str, str]]
CANARY = "c4n4ry-Zx9!"


def host(address: str) -> dict[str, Any]:
    metadata = {"name": "h1"}
    spec = {"address": address}
    return {"apiVersion": "steersman/v1", "kind": "Host", "metadata": metadata, "spec": spec}


def secret(**source: str) -> dict[str, Any]:
    metadata, spec = {"name": "key"}, {"data": {"TOKEN": source}}
    return {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": metadata, "spec": spec}


@pytest.fixture
def steer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", CANARY)

    def ran(*args: str, docs: list[dict[str, Any]] | None = None, code: int = 0) -> Any:
        if docs is not None:
            Path("set.yaml").write_text(yaml.safe_dump_all(docs))
            args = (*args, "-f", "set.yaml")
        assert run([*args, "--state-dir", str(tmp_path / "state")]) == code
        out, err = capfd.readouterr()
        assert CANARY not in out + err
        return out, err

    return ran


def test_a_plan_does_what_it_shows_and_no_more(steer: Steer) -> None:
    out, err = steer("diff", "--save", "plan.json", docs=[host("192.0.2.1")], code=1)
    assert "192.0.2.1" in out
    assert err == "plan saved to plan.json; to carry it out: steer apply --plan plan.json\n"
    assert stat.S_IMODE(Path("plan.json").stat().st_mode) == 0o600
    # The manifest changes afterwards: the plan is of what was shown.
    Path("set.yaml").write_text(yaml.safe_dump(host("192.0.2.2")))
    assert steer("apply", "--plan", "plan.json")[0] == "host/h1 created\n"
    assert "192.0.2.1" in steer("get", "host/h1", "-o", "yaml")[0]
    _, err = steer("apply", "--plan", "plan.json", code=1)
    assert "host h1: it was changed since the plan was made" in err
    assert "steer diff --save" in err


def test_what_somebody_else_changed_is_not_undone(steer: Steer) -> None:
    steer("apply", docs=[host("192.0.2.1")])
    steer("diff", "--save", "plan.json", docs=[host("192.0.2.2")], code=1)
    steer("label", "host/h1", "zone=a")
    steer("apply", "--plan", "plan.json", code=1)
    shown = yaml.safe_load(steer("get", "host/h1", "-o", "yaml")[0])
    assert (shown["spec"]["address"], shown["metadata"]["labels"]) == ("192.0.2.1", {"zone": "a"})


def test_values_come_from_where_they_came_from(
    steer: Steer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("token").write_text(CANARY)
    steer("diff", "--save", "plan.json", docs=[secret(fromFile="token")], code=1)
    text = Path("plan.json").read_text()
    assert CANARY not in text and json.loads(text)["bases"] == {"key": str(Path.cwd())}
    Path("token").write_text("another-value")
    err = steer("apply", "--plan", "plan.json", code=1)[1]
    assert "secret key: its values have changed where they come from" in err
    assert steer("get", "secrets")[0] == ""
    Path("token").write_text(CANARY)
    assert steer("apply", "--plan", "plan.json")[0] == "secret/key created\n"
    steer("diff", "--save", "plan.json", docs=[secret(fromEnv="TOKEN")])
    monkeypatch.delenv("TOKEN")
    assert "no variable TOKEN" in steer("apply", "--plan", "plan.json", code=1)[1]


def test_a_new_value_in_the_manifest_is_no_plan(steer: Steer) -> None:
    _, err = steer("diff", "--save", "plan.json", docs=[secret(value=CANARY)], code=2)
    assert "a plan holds no values" in err and not Path("plan.json").exists()
    steer("apply", docs=[secret(value=CANARY)])
    steer("diff", "--save", "plan.json", docs=[secret(value=CANARY)])
    assert CANARY not in Path("plan.json").read_text()
    assert steer("apply", "--plan", "plan.json")[0] == "secret/key unchanged\n"


def test_files_that_are_no_plans(steer: Steer) -> None:
    steer("diff", "--save", "plan.json", docs=[host("192.0.2.1")], code=1)
    plan = json.loads(Path("plan.json").read_text())
    for change, why in (
        ({"format": 2}, "of a newer steersman (format 2, here 1)"),
        ({"format": 0}, "of an older steersman"),
        ({"store": "0" * 32}, "made with another state"),
        ({"objects": [{"kind": "Host", "metadata": {"name": "h1"}}]}, "one of its objects"),
    ):
        Path("other.json").write_text(json.dumps(plan | change))
        assert why in steer("apply", "--plan", "other.json", code=1)[1]
    assert steer("get", "hosts")[0] == ""
    assert "No such file" in steer("apply", "--plan", "none.json", code=1)[1]
    assert "set.yaml: it is no JSON" in steer("apply", "--plan", "set.yaml", code=1)[1]
    save = ("diff", "--save", "/nonexistent/plan.json")
    assert "No such file" in steer(*save, docs=[host("192.0.2.1")], code=2)[1]


def test_a_plan_is_all_there_is_to_say(steer: Steer) -> None:
    assert "leave the other options out" in steer(
        "apply", "--plan", "x", docs=[host("192.0.2.1")], code=2
    )[1]  # fmt: skip
    assert "--plan" in steer("apply", code=2)[1]


def test_another_program_may_show_the_difference(
    steer: Steer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(program: str, code: int) -> str:
        monkeypatch.setenv("STEER_EXTERNAL_DIFF", program)
        return "".join(steer("diff", docs=[host("192.0.2.2"), secret(fromEnv="TOKEN")], code=code))

    steer("apply", docs=[host("192.0.2.1")])
    text = shown("diff -ruN", 1)
    assert "-  address: 192.0.2.1\n+  address: 192.0.2.2\n" in text
    assert "APPLIED/secret.key.yaml" in text and "hmac-sha256:" in text
    assert "No such file" in shown("/nonexistent", 2)
    assert "ended with 2" in shown("sh -c 'exit 2'", 2)
