"""The dashboard in a real browser, of a real daemon, as `steer dashboard` opens it."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from acceptance.daemon import serving
from acceptance.pier import GOOD, SITE, Pier
from acceptance.web import get

pytestmark = pytest.mark.lab

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("STEERSMAN_SHOTS")
"""A folder that gets pictures of the pages, for the README and for whoever wants to look."""
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
SPEAKING = (
    GOOD.replace(
        "    body = sent or",
        '    if environ["PATH_INFO"] == "/boom":\n        raise ValueError("the mast broke")\n'
        "    body = sent or",
    )
    + f"\nprint({HOSTILE!r}, flush=True)\n"
)
PHONE = {"width": 390, "height": 844}
expect.set_options(timeout=60_000)


@dataclass
class Shown:
    """A page that is open, with its link, and what its console complained of."""

    page: Page
    link: str
    complaints: list[str]

    def shot(self, name: str) -> None:
        if SHOTS is not None:
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def counts(said: ConsoleMessage) -> bool:
    """Return whether the console complains of the page; not of the lab's networks beside it."""
    return said.type == "error" and "ERR_NETWORK_CHANGED" not in said.text


@pytest.fixture(scope="module")
def link(pier: Pier) -> Iterator[str]:
    """Return what `steer dashboard` prints, beside a daemon that serves."""
    with serving(pier.steer):
        pier.release(code=SPEAKING)
        started = pier.steer.started("dashboard", "--no-open")
        assert started.stdout is not None
        try:
            yield started.stdout.readline().strip()
        finally:
            started.send_signal(signal.SIGINT)
            _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said


@pytest.fixture
def shown(link: str) -> Iterator[Shown]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if counts(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(link)
        yield Shown(page, link, complaints)
        browser.close()


def test_an_app_is_found_by_keyboard_and_shows_what_it_does(shown: Shown, pier: Pier) -> None:
    page = shown.page
    expect(page.get_by_role("row", name="pier")).to_contain_text("Deployed")
    assert "token" not in page.url, "the key stays in the address bar"
    shown.shot("apps")
    page.keyboard.press("/")
    page.keyboard.type("pier")
    page.keyboard.press("Tab")
    # The table is drawn anew every few seconds, and whoever has come to a link is still there.
    page.evaluate("document.activeElement.closest('table').dataset.age = 'old'")
    expect(page.locator("table[data-age]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pier")
    processes = page.get_by_role("region", name="Processes")
    expect(processes.get_by_role("row")).to_have_count(1 + len(pier.hosts))
    expect(page.get_by_role("region", name="Releases")).to_contain_text("serves now")
    # Whatever an app prints is a text: nothing of it becomes part of the page.
    expect(page.get_by_label("Log of pier")).to_contain_text(HOSTILE)
    assert page.title() == "pier · steersman"
    assert shown.complaints == []


def test_an_error_is_shown_with_the_line_that_raised_it(shown: Shown, pier: Pier) -> None:
    page, host = shown.page, pier.hosts[0]
    assert get(host, SITE, "/boom").status == 500
    page.goto(shown.link.partition("#")[0] + "#/errors")
    page.get_by_role("link", name="ValueError").click()
    expect(page.locator(".frame.own .hit")).to_contain_text('raise ValueError("the mast broke")')
    expect(page.locator("main")).to_contain_text("release #2")
    shown.shot("error")
    # What was asked for is counted from nginx's log, and drawn.
    page.goto(shown.link.partition("#")[0] + "#/apps/pier")
    chart = page.get_by_role("img", name="Requests per second, by status")
    expect(chart).to_have_attribute("aria-label", re.compile(r"\b500 "))
    expect(page.get_by_role("img", name="Memory by process")).to_be_visible()
    shown.shot("app")
    assert shown.complaints == []


def test_a_rollout_is_seen_as_it_goes(shown: Shown, pier: Pier) -> None:
    page = shown.page
    page.goto(shown.link.partition("#")[0] + "#/apps/pier")
    number = pier.version + 1
    pier.release()
    happens = page.get_by_role("region", name="What happens")
    expect(happens).to_contain_text(f"release {number}", ignore_case=True)
    row = page.get_by_role("row").filter(has_text="serves now")
    expect(row).to_contain_text(f"#{number}")


def test_the_controllers_own_health_is_drawn(shown: Shown, pier: Pier) -> None:
    page = shown.page
    page.goto(shown.link.partition("#")[0] + "#/hosts")
    trips = page.get_by_role("img", name="Round trips to hosts")
    for host in pier.hosts:
        expect(trips).to_have_attribute("aria-label", re.compile(rf"\b{host.name} "))
    work = page.get_by_role("img", name="Reconciles per minute, by kind", exact=False)
    expect(work.first).to_have_attribute("aria-label", re.compile(r"\bApp "))
    shown.shot("hosts")
    assert shown.complaints == []


def test_it_fits_a_phone_and_the_dark(shown: Shown) -> None:
    page = shown.page
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for place in ("#/", "#/apps/pier", "#/hosts", "#/hosts/h1", "#/errors", "#/events"):
        page.goto(shown.link.partition("#")[0] + place)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{place} is {width} pixels wide"
        shown.shot(f"phone-{place.strip('#/').replace('/', '-') or 'apps'}")
    ink = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ink.strip("rgb()").split(",")) < 64
    assert shown.complaints == []


def test_nobody_sees_anything_without_the_key(shown: Shown) -> None:
    page = shown.page
    page.evaluate("sessionStorage.clear()")
    page.reload()
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type("steer_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Who are you?")
    expect(page.get_by_role("row")).to_have_count(0)
    expect(page.locator("#state")).to_contain_text("no token")
