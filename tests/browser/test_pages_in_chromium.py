"""The pages in a real browser: filter, sort, turn pages, read; in light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from exporter.model import (
    OPERATION,
    AccountStatus,
    DiscoveryStatus,
    HealthError,
    OperationStatus,
    PhoneNumber,
    Refused,
    SpaceStatus,
)
from exporter.state.history import MAX_POLLS
from exporter.web.ui.views import LandingInfo
from tests.support.browser import NARROW, WIDE, Scheme, chromium, tab
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shown import REQUEST_ID, ShownFleet
from tests.support.webserver import serving

HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "W" * 90
FEW = "/numbers?q=odd"
ODD = "/numbers/number?account=support&space=cams-odd&number=8613800000900"
PLAIN = "/numbers/number?account=support&space=cams-kei0001&number=8613800000001"
PAGES = ["/", FEW, "/numbers", "/numbers?q=nothing-has-this", ODD, PLAIN, "/numbers/number?number=gone"]


def shown() -> ShownFleet:
    """240 numbers of two accounts, one of them refused; every kind of status, and a number with hostile texts.

    The refused account finds its numbers and checks their health.
    """
    every = [number(i, "support" if i % 2 else "retail", name=f"line-{i:03}", found=i % 2 == 1) for i in range(240)]
    odd = PhoneNumber("support", "cams-odd", "8613800000900", "8613800000900", HOSTILE, (("team", HOSTILE),))
    fleet = ShownFleet([*every, odd])
    fleet.succeed(every[3])
    fleet.succeed(every[5])
    fleet.clock.advance(100_000)
    for place, one in enumerate(every):
        if place == 5:
            continue  # its status is stale
        fleet.succeed(one, {7: "NOT_VERIFIED", 9: "EXPIRED"}.get(place, "VERIFIED"))
    fleet.fail(every[1], "InvalidParameter.PhoneNumber", "The specified parameter PhoneNumber is not valid.")
    for _ in range(25):
        fleet.clock.advance(10)
        fleet.succeed(every[1])
    for one in every[1::2]:
        fleet.listed(one)
        fleet.checked(one)
    fleet.listed(every[11], "BANNED", "RED", 250.0)
    fleet.checked(every[13], "BLOCKED", HealthError("PHONE_NUMBER", "141000", "It is restricted.", "Ask for a review."))
    fleet.listed(odd, HOSTILE, HOSTILE, None, HOSTILE, HOSTILE, HOSTILE)
    fleet.checked(odd, HOSTILE, HealthError(HOSTILE, HOSTILE, HOSTILE * 4, HOSTILE * 4))
    fleet.succeed(odd, HOSTILE, request_id=HOSTILE)
    fleet.fail(odd, HOSTILE, HOSTILE * 4)
    fleet.due = {one.key: fleet.clock.now_unix + place for place, one in enumerate(every)}
    why = Refused("Ram.PermissionDeny", HOSTILE, REQUEST_ID)
    spaces = {HOSTILE: SpaceStatus(120, fleet.clock.now_unix, True), "cams-odd": SpaceStatus(1, 0.0, True, why)}
    fleet.accounts = [
        AccountStatus("retail", 120, 10.0, 0.0, 5.0, 2.5, 1),
        AccountStatus(
            "support",
            121,
            10.0,
            90.0,
            5.0,
            5.0,
            0,
            why,
            operations=(OperationStatus(OPERATION), OperationStatus("GetWhatsappHealthStatus", False, why)),
            health_seconds=300.0,
            discovery=DiscoveryStatus(spaces, left_out=3),
        ),
    ]
    return fleet


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(fleet=shown(), landing=LandingInfo(version="1.2.3", demo=True)) as server:
        yield server.urls[0]


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    """Ends before the server: Playwright keeps an event loop in this thread, so no other loop may run in it."""
    with chromium() as running:
        yield running


@pytest.fixture(params=[True, False], ids=["script on", "script off"])
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The list of numbers.  The browser must not report a problem during the test."""
    with tab(browser, url, script=request.param) as opened:
        opened.page.goto("/numbers")
        yield opened.page
        assert opened.complaints == []


def heads(page: Page) -> Locator:
    """The links in the heads of the rows, which are the numbers."""
    return page.locator("table.numbers tbody th a")


def labels(page: Page) -> list[str]:
    """The last three digits of each number shown, in order."""
    return [text[-3:] for text in heads(page).all_inner_texts()]


def shows(page: Page, ends: Sequence[str]) -> None:
    """Wait until the page shows the numbers with these last digits, in this order: a form sent by a key takes a
    moment."""
    wanted = [re.compile(rf"{end}\s*$") for end in ends]
    expect(heads(page)).to_have_text(wanted, timeout=PATIENCE_SECONDS * 1000)


def test_the_form_filters_by_account_status_text_and_failure(page: Page) -> None:
    page.get_by_label("Text").fill("LINE-00")
    page.get_by_label("Account", exact=True).select_option("support")
    page.get_by_role("button", name="Apply").click()
    shows(page, ["007", "005", "009", "001", "003"])
    page.get_by_label("Status", exact=True).select_option("EXPIRED")
    page.get_by_label("Text").press("Enter")
    shows(page, ["009"])
    expect(page.get_by_role("status")).to_have_text("1–1 of 1 that match; 241 in all")
    page.get_by_role("link", name="Reset").click()
    page.get_by_label("failing only").check()
    page.get_by_role("button", name="Apply").click()
    shows(page, ["900"])


def test_the_counts_and_the_accounts_lead_to_their_numbers(page: Page) -> None:
    page.get_by_role("link", name="1 EXPIRED").click()
    shows(page, ["009"])
    page.get_by_role("link", name="retail", exact=True).click()
    expect(heads(page)).to_have_count(100, timeout=PATIENCE_SECONDS * 1000)
    expect(page.get_by_label("Account", exact=True)).to_have_value("retail")


def test_heads_sort_both_ways_and_say_so(page: Page) -> None:
    """A screen reader takes the order from aria-sort."""
    head = page.get_by_role("columnheader", name="Number Name", exact=True)
    assert head.get_attribute("aria-sort") is None
    for order, first in (("ascending", "000"), ("descending", "900")):
        head.get_by_role("link", name="Number", exact=True).click()
        assert head.get_attribute("aria-sort") == order
        assert labels(page)[0] == first
    page.get_by_role("link", name="Last error").click()
    assert labels(page)[0] == "900"


def test_pages_are_leafed_through_with_filter_and_order_kept(page: Page) -> None:
    page.get_by_role("link", name="Name", exact=True).click()
    seen = labels(page)
    for _ in range(2):
        page.get_by_role("link", name="Next", exact=True).first.click()
        seen += labels(page)
    assert seen == ["900", *(f"{i:03}" for i in range(240))]
    assert page.get_by_role("link", name="Next", exact=True).count() == 0
    page.get_by_role("link", name="First").first.click()
    shows(page, seen[:100])


def test_a_number_leads_to_its_polls_its_last_error_and_the_cure(page: Page) -> None:
    page.get_by_label("Text").fill("line-001")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="8613800000001").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("8613800000001")
    assert page.get_by_role("table", name="Last polls, newest first").get_by_role("row").count() == 1 + MAX_POLLS
    expect(page.get_by_role("region", name="Last error")).to_contain_text(REQUEST_ID.lower())
    expect(page.get_by_role("region", name="Last error").get_by_text("What to do:")).to_be_visible()
    page.get_by_label("Breadcrumb").get_by_role("link", name="Numbers").click()
    expect(heads(page)).to_have_count(100, timeout=PATIENCE_SECONDS * 1000)


def test_the_landing_page_leads_to_the_numbers_and_marks_the_demo(page: Page) -> None:
    page.get_by_role("link", name="CAMS exporter").click()
    expect(page.get_by_text("Demo: every number and status here is simulated.")).to_be_visible()
    expect(page.get_by_text("Version 1.2.3")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Numbers", exact=True).click()
    expect(heads(page)).to_have_count(100, timeout=PATIENCE_SECONDS * 1000)


def test_the_keyboard_skips_to_the_content_and_reaches_the_form(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Refresh every 30 s")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="1 BLOCKED")).to_be_focused()


@pytest.mark.parametrize("path", PAGES[:-1])
def test_nothing_is_blocked_nothing_runs_and_nothing_is_loaded(browser: Browser, url: str, path: str) -> None:
    """Under the page's own policy, with a number that tries to run a script."""
    with tab(browser, url) as opened:
        asked: list[str] = []
        opened.page.on("request", lambda request: asked.append(request.url))
        opened.page.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
        opened.page.goto(path)
        assert asked == [url + path]
        assert opened.page.locator("main img, main script").count() == 0
        assert opened.page.evaluate("getComputedStyle(document.querySelector('.bar')).display") == "flex"
        assert opened.complaints == []


def test_the_policy_would_stop_a_script_that_got_into_a_page(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        opened.page.goto("/numbers")
        opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=y onerror=\"window.ran = 1\">')")
        opened.page.wait_for_function("document.querySelector('img').complete")
        assert opened.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in complaint for complaint in opened.complaints)


@pytest.mark.parametrize("size", [NARROW, (768, 1024), (1200, 800), (1240, 800), (1920, 1080)], ids=str)
def test_no_page_is_wider_than_the_window(browser: Browser, url: str, size: tuple[int, int]) -> None:
    """For any length of a status, a name or a message."""
    with tab(browser, url, size=size) as opened:
        for path in PAGES:
            opened.page.goto(path)
            assert opened.overflow() <= 0, path


def test_a_narrow_window_shows_each_number_as_a_card_with_its_columns_named(browser: Browser, url: str) -> None:
    """The important values first: whether it can send, its connection, its status."""
    with tab(browser, url, size=NARROW) as opened:
        opened.page.goto(FEW)
        cells = opened.page.locator("table.numbers tbody td")
        titles = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
        assert titles[:5] == ['"Can send"', '"Connection"', '"Status"', '"Quality"', '"Account"']
        opened.page.get_by_role("link", name="Number", exact=True).click()
        expect(opened.page.get_by_role("columnheader", name="Number Name", exact=True)).to_have_attribute(
            "aria-sort", "ascending"
        )


def test_the_first_screen_of_a_phone_shows_numbers(browser: Browser, url: str) -> None:
    """Accounts, also one in trouble, and filters are folded; a wide window shows both."""
    for size in (NARROW, WIDE):
        with tab(browser, url, size=size) as opened:
            opened.page.goto("/numbers")
            for folded in (opened.page.get_by_role("table", name="Accounts"), opened.page.get_by_label("Listed")):
                expect(folded).to_be_visible(visible=size == WIDE)
            if size == NARROW:
                end = heads(opened.page).first.evaluate("link => link.getBoundingClientRect().bottom")
                assert end < NARROW[1]
                opened.page.get_by_text("More filters").click()
                expect(opened.page.get_by_label("Listed")).to_be_visible()


def test_a_very_wide_window_is_aligned(browser: Browser, url: str) -> None:
    """The bar, the content and the table begin and end at the same place."""
    with tab(browser, url, size=(1920, 1080)) as opened:
        opened.page.goto(FEW)
        for side, elements in (("left", ".brand, h1, .filters, .numbers"), ("right", ".version, .filters, .numbers")):
            found = opened.page.locator(elements)
            edges = found.evaluate_all(f"found => found.map(e => Math.round(e.getBoundingClientRect().{side}))")
            assert len(edges) >= 3
            assert len(set(edges)) == 1


def test_a_wide_window_shows_one_row_a_number_with_every_column(browser: Browser, url: str) -> None:
    with tab(browser, url, size=(1240, 800)) as opened:
        opened.page.goto("/numbers?q=line-01")
        cells = opened.page.locator("table.numbers tbody tr").first.locator("th, td")
        tops = cells.evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().top)")
        assert len(tops) == 8
        assert len(set(tops)) == 1


def test_the_filters_of_listings_and_health_find_their_numbers(page: Page) -> None:
    page.get_by_label("Can send", exact=True).select_option("BLOCKED")
    page.get_by_role("button", name="Apply").click()
    shows(page, ["013"])
    page.get_by_role("link", name="Reset").click()
    page.get_by_label("Connection", exact=True).select_option("BANNED")
    page.get_by_label("Source", exact=True).select_option("found")
    page.get_by_role("button", name="Apply").click()
    shows(page, ["011"])
    page.get_by_label("Source", exact=True).select_option("typed")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status")).to_have_text("No number matches; 241 in all")


def test_a_blocked_number_leads_to_the_errors_and_its_runbook(page: Page) -> None:
    assert labels(page)[0] == "013"
    page.get_by_role("link", name="1 BLOCKED").click()
    page.get_by_role("link", name="8613800000013").click()
    wrong = page.get_by_role("region", name="What is wrong")
    expect(wrong).to_contain_text("The number cannot send")
    expect(wrong.get_by_role("link", name="CamsNumberCannotSend")).to_be_visible()
    expect(page.get_by_role("table", name="Errors of the health check")).to_contain_text("Ask for a review.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_follow_the_readers_setting(browser: Browser, url: str, scheme: Scheme) -> None:
    with tab(browser, url, scheme=scheme) as opened:
        opened.page.goto("/numbers")
        ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) > 3 * 128) is (scheme == "light")


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)], ids=str)
def test_axe_finds_nothing_that_keeps_people_out(
    browser: Browser, url: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    """Contrast, names, labels, structure: no serious or critical fault on any page."""
    with tab(browser, url, scheme=scheme, size=size, bypass_csp=True) as opened:
        for path in (path for path in PAGES if path != "/numbers"):  # FEW has all of its content, but fewer rows
            opened.page.goto(path)
            assert opened.faults() == [], path
