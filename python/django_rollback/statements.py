"""Reads a text of SQL as far as telling its statements apart."""

from __future__ import annotations

import re
from collections.abc import Iterator

# https://www.postgresql.org/docs/current/sql-syntax-lexical.html; SQLite's lexical rules are a part of these.
TOKEN = re.compile(
    r"""(?P<nothing> \s+ | --[^\n]* | /\*(?:/\*.*?\*/|.)*?\*/ )
      | (?P<end> ; )
      | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
      | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
      | \w[\w$]* | .""",
    re.DOTALL | re.VERBOSE,
)
DATA_STATEMENT = re.compile(r"(?:INSERT|UPDATE|DELETE|SELECT|WITH)\b", re.IGNORECASE)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends, without the comments around it and without its semicolon."""
    start, end = None, 0
    for token in TOKEN.finditer(text):
        if token.lastgroup == "end":
            if start is not None:
                yield start, end
            start = None
        elif token.lastgroup != "nothing":
            start, end = token.start() if start is None else start, token.end()
    if start is not None:
        yield start, end


def split(text: str) -> list[str]:
    """The statements of a text."""
    return [text[start:end] for start, end in spans(text)]


def may_change_schema(statement: str) -> bool:
    """Whether a statement is more than a query or a change of rows."""
    return DATA_STATEMENT.match(statement) is None
