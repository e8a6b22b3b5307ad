"""Follows every link of a built site: files and places in them must exist, and nothing may be loaded from elsewhere."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}  # by the browser, without a click


class Page(HTMLParser):
    """The links of a page, what it loads, and the places that a link can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (name := LOADED.get(tag)) in given and given.get("rel") not in ("canonical", "next", "prev", "index", "search"):
            self.loaded.append(given[str(name)])


def problems(site: Path) -> list[str]:
    """One line per link that leads nowhere and per file that would need a network."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for url in page.loaded:
            if urlsplit(url).netloc:
                found.append(f"{path.relative_to(site)} loads {url}, which needs a network")
        for url in (*page.links, *page.loaded):
            if why := dead(url, path, pages, site):
                found.append(f"{path.relative_to(site)}: {url}: {why}")
    return found


def dead(url: str, path: Path, pages: dict[Path, Page], site: Path) -> str:
    """Why a link leads nowhere; empty if it does not, or leads out of the site."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return ""
    target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    if not target.is_relative_to(site):
        return "leads out of the site"
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    if target in pages and unquote(parts.fragment) not in pages[target].places:
        return "no such place in it"
    return ""
