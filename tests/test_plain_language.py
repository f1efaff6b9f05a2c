"""The README and the docs keep to what `CONTRIBUTING.md` asks of sentences: none has more than 25 words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("ARCHITECTURE.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 25
LEFT_OUT = re.compile(r"^ *```.*?^ *```|<!--.*?-->", re.DOTALL | re.MULTILINE)
# A blank line, an item of a list, a row or a cell of a table, a heading.
PART = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*#]|\d+\.) )|\||\n(?=#)")
END = re.compile(r"(?<=[.:;!?])[)*]*\s+")


def sentences(text: str) -> list[str]:
    """The sentences of a page, without code; what stands between backticks is one word."""
    text = re.sub(r"`[^`]*`", "`code`", LEFT_OUT.sub("", text))
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return [" ".join(sentence.split()) for part in PART.split(text) for sentence in END.split(part)]


def words(sentence: str) -> int:
    """How many words a sentence has."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_is_long(page: Path) -> None:
    assert [sentence for sentence in sentences(page.read_text()) if words(sentence) > MOST_WORDS] == []


def test_a_long_sentence_is_noticed() -> None:
    """Each cell, item and sentence counts by itself; code is one word, and a block of code is none."""
    long = "word " * MOST_WORDS
    assert [words(each) for each in sentences(f"Short.\n\n- {long}`two words`.\n\n```\n{long * 2}\n```")] == [1, 26, 0]
    assert max(map(words, sentences(f"| {long} | {long} |\n\n{long}:\n- {long}; and [this]({long})."))) == MOST_WORDS
