"""The landing page: what it shows, and what a hostile value cannot do to it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages import LandingInfo, landing_page


class Reader(HTMLParser):
    """What a browser would see: elements in order, links, text."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links.extend(value or "" for name, value in attrs if name == "href")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def test_the_page_names_the_exporter_and_its_version() -> None:
    page = Reader(landing_page(LandingInfo(version="1.2.3"), "/metrics").html)
    assert "CAMS exporter" in page.text
    assert "Version 1.2.3" in page.text


@pytest.mark.parametrize("telemetry_path", ["/metrics", "/a/b", "/a:b"])
def test_the_page_links_metrics_health_and_readiness(telemetry_path: str) -> None:
    """The links are relative to the page, so that they also hold behind a proxy that adds a prefix."""
    links = Reader(landing_page(LandingInfo(version="1"), telemetry_path).html).links
    assert [f".{telemetry_path}", "./-/healthy", "./-/ready"] == [link for link in links if link.startswith("./")]


@pytest.mark.parametrize("demo", [True, False])
def test_only_a_demo_is_marked_as_simulated(demo: bool) -> None:
    page = Reader(landing_page(LandingInfo(version="1", demo=demo), "/metrics").html)
    assert ("simulated" in page.text) is demo


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = Reader(landing_page(LandingInfo(version="1"), "/metrics").html)
    assert not {"script", "img", "iframe", "object", "form"} & set(page.tags)
    assert all(link.startswith(("./", "data:,")) for link in page.links)


def test_the_policy_allows_the_pages_own_style_and_nothing_else() -> None:
    """The hash must be that of the style sheet as it stands in the page, or the browser drops it."""
    page = landing_page(LandingInfo(version="1"), "/metrics")
    style = re.search(rb"<style>(.*?)</style>", page.html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}';" in policy
    assert "default-src 'none';" in policy
    assert "unsafe" not in policy


def test_the_page_follows_the_readers_light_or_dark_setting() -> None:
    html = landing_page(LandingInfo(version="1"), "/metrics").html
    assert b"color-scheme: light dark" in html
    assert b"prefers-color-scheme: dark" in html


@given(st.text(max_size=50) | st.sampled_from(["<script>alert(1)</script>", '"><b x="', "$version", "${x}", "&lt;"]))
def test_no_value_becomes_markup(value: str) -> None:
    """Whatever a value holds, the page keeps its elements, and the value is read back as text."""
    plain = Reader(landing_page(LandingInfo(version="1"), "/metrics").html)
    page = Reader(landing_page(LandingInfo(version=value, name=value, description=value), "/metrics").html)
    assert page.tags == plain.tags
    assert page.links == plain.links
    assert value.encode("utf-8", "replace").decode() in page.text
