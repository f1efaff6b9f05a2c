"""Links in the README and the docs lead somewhere: to a file that is there, and with an anchor to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^ *(```|~~~).*?^ *\1[^\n]*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]: *(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def links(text: str) -> list[str]:
    """The targets of all links, in order; those in code are no links."""
    text = CODE.sub("", FENCED.sub("", text))
    return [inline or reference for inline, reference in LINK.findall(text)]


def slug(heading: str) -> str:
    """What GitHub makes of a heading: lower case, without punctuation, a hyphen for each space."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page; a heading that is there twice gets a number."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        anchor = slug(heading)
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a link of a page, if anything is."""
    if ELSEWHERE.match(link):
        return None
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link}: there is no such file"
    if not target.is_relative_to(ROOT):
        return f"{link}: that is outside of the repository"
    if anchor and anchor not in anchors(target):
        return f"{link}: {target.relative_to(ROOT)} has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [found for link in links(page.read_text()) if (found := problem(page, link))] == []


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    """A file, a heading, and the ways to write a link; what stands in code does not count."""
    page = ROOT / "README.md"
    text = "[a](docs/none.md) [b](#nowhere) `[c](d)` [e](https://example.org)\n\n[f]: docs/check.md#nowhere\n"
    assert links(text) == ["docs/none.md", "#nowhere", "https://example.org", "docs/check.md#nowhere"]
    assert [bool(problem(page, link)) for link in links(text)] == [True, True, False, True]


def test_there_are_pages_and_anchors() -> None:
    assert {"README.md", "CONTRIBUTING.md", "security.md"} <= {page.name for page in PAGES}
    assert slug("`rollback -t v1`: what is *lost*?") == "rollback--t-v1-what-is-lost"
    assert {"install", "use", "speed"} <= anchors(ROOT / "README.md")
