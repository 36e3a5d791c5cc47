"""steer explain says what the models say."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from steersman.api.objects import KINDS
from steersman.cli.app import run, steer
from steersman.manifests.fields import FieldDoc, field_at
from steersman.manifests.schema import keys_at


def explained(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert run(["explain", *args]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_a_field_has_its_type_its_docs_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    shown = explained(capsys, "app.spec.rollout")
    assert "FIELD: rollout <Rollout>" in shown
    assert "  strategy\t<string>\n    enum: RollingUpdate, Canary, BlueGreen, Recreate\n" in shown
    assert "  maxSurge\t<string or integer>\n    default: 25%\n" in shown
    assert "`maxSurge` and `maxUnavailable` round as Kubernetes does" in shown
    assert "  source\t<Source> -required-\n" in explained(capsys, "apps.spec")
    assert "default: 10s\n" in explained(capsys, "app.spec.processes.health.interval")


def test_maps_and_lists_are_stepped_into(capsys: pytest.CaptureFixture[str]) -> None:
    assert "processes\t<map[string]Process>" in explained(capsys, "app.spec")
    assert "routes\t<[]Route>" in explained(capsys, "app.spec")
    through = explained(capsys, "app.spec.processes.web.command")
    assert through == explained(capsys, "app.spec.processes.command")
    assert "example: gunicorn shop.wsgi" in through
    assert "FIELD: host <string> -required-" in explained(capsys, "app.spec.routes.host")


def test_recursive_prints_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown = explained(capsys, "app", "--recursive")
    assert "    rollout\t<Rollout>\n      strategy\t<string>\n" in shown
    assert "round as Kubernetes" not in shown


@pytest.mark.parametrize(
    ("what", "code", "why"),
    [
        ("app.spec.rolout", 1, "did you mean rollout?"),
        ("app.spec.user.x", 1, "it has no fields"),
        ("pod", 2, "the kinds are"),
        ("generation", 2, "steer get generations"),
    ],
)
def test_what_is_not_there(
    what: str, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why in explained(capsys, what, code=code)


def below(found: FieldDoc, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for field in found.fields:
        yield (*path, field.name)
        if not field.type.startswith(("<map", "<[]")):
            yield from below(field, (*path, field.name))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_every_kind_is_explained(kind: str) -> None:
    known = set(below(field_at(kind, ())))
    for path in [(), *known]:
        assert {(*path, key) for key in keys_at(kind, path)} <= known
        assert field_at(kind, path).type


def test_completion_goes_down_the_fields() -> None:
    complete = ShellComplete(steer, {}, "steer", "_STEER_COMPLETE")

    def completed(word: str) -> list[str]:
        return [item.value for item in complete.get_completions(["explain"], word)]

    assert completed("ho") == ["host"]
    assert completed("app.spec.ro") == ["app.spec.routes", "app.spec.rollout"]
    assert isinstance(steer, click.Group)
