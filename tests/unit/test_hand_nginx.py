"""A site is done once nginx has read it: whoever is cut off before leaves what shows that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steersman.hand import files, nginx
from steersman.hand.nginx import Nginx
from steersman.hand.place import place_from
from steersman.hand.wire import Refused

NAME = "steersman-shop.conf"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "conf.d" / NAME


@pytest.fixture
def proxy(site: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """Return nginx as far as files go: it passes each test, and runs."""
    names = ("root", "run", "units", "tmpfiles", "supervisor", "proxy", "scope")
    made = Nginx(place_from({"sites": str(site.parent), **dict.fromkeys(names, "")}))
    monkeypatch.setattr(made, "_test", lambda name, data: None)
    monkeypatch.setattr(nginx, "LOGS", str(site.parents[1]))
    monkeypatch.setattr(nginx, "_master", lambda: "1")
    return made


@pytest.fixture
def reads(proxy: Nginx, site: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int]]:
    """Return what nginx reads from now on, with the modes."""
    found: list[tuple[bytes, int]] = []

    def reload() -> None:
        found.append((site.read_bytes(), site.stat().st_mode & 0o777))

    monkeypatch.setattr(proxy, "_reload", reload)
    return found


def refuse() -> None:
    raise Refused("proxy-refused", "nginx did not take its new configuration")


def test_a_site_that_nginx_has_read_says_so(
    proxy: Nginx, site: Path, reads: list[tuple[bytes, int]]
) -> None:
    proxy.write_site(str(site), b"server {}")
    assert reads == [(b"server {}", 0o600)]
    assert (site.read_bytes(), site.stat().st_mode & 0o777) == (b"server {}", 0o644)


def test_a_site_that_nginx_has_not_read_does_not(
    proxy: Nginx, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "_reload", refuse)
    with pytest.raises(Refused):
        proxy.write_site(str(site), b"server {}")
    assert site.stat().st_mode & 0o777 == 0o600


def test_a_site_goes_when_all_it_left_is_gone(
    proxy: Nginx, site: Path, reads: list[tuple[bytes, int]]
) -> None:
    proxy.write_site(str(site), b"server {}")
    left = [site.parents[1] / f"steersman-shop.access.log{each}" for each in ("", ".1", ".2.gz")]
    for log in (*left, other := site.parents[1] / "steersman-shop2.access.log"):
        log.touch()
    proxy.remove_site(str(site))
    assert reads[1:] == [(b"", 0o600)]
    assert not site.exists() and not any(log.exists() for log in left)
    assert other.exists()


@pytest.mark.parametrize("cut", ["by nginx", "among the logs"])
def test_a_removal_that_is_cut_off_is_begun_again(
    proxy: Nginx,
    site: Path,
    reads: list[tuple[bytes, int]],
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
) -> None:
    proxy.write_site(str(site), b"server {}")
    log = site.parents[1] / "steersman-shop.access.log"
    log.touch()
    with monkeypatch.context() as cutting:
        if cut == "by nginx":
            cutting.setattr(proxy, "_reload", refuse)
        else:
            cutting.setattr(files, "remove", lambda path: refuse())
        with pytest.raises(Refused):
            proxy.remove_site(str(site))
    assert site.exists(), "no plan would name it any more"
    proxy.remove_site(str(site))
    assert not site.exists() and not log.exists()


def test_an_nginx_that_does_not_run_is_not_started_to_forget_a_site(
    proxy: Nginx, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.parent.mkdir()
    site.write_text("server {}")
    monkeypatch.setattr(nginx, "_master", lambda: "")
    monkeypatch.setattr(proxy, "_reload", refuse)
    proxy.remove_site(str(site))
    assert not site.exists()


def test_a_move_of_a_log_that_was_cut_off_is_ended(
    proxy: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, moved = tmp_path / "a.log", tmp_path / "a.log.1"
    asked: list[list[str]] = []
    must: Callable[[list[str]], None] = asked.append
    monkeypatch.setattr(nginx, "must", must)
    monkeypatch.setattr(nginx, "LOGROTATE", str(tmp_path / "none"))
    nginx.keep_small(str(log))
    assert asked == [], "there never was a log"
    moved.touch()
    nginx.keep_small(str(log))
    assert asked == [["nginx", "-s", "reopen"]]
