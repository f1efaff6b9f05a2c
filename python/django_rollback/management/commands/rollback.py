"""``manage.py rollback SUBCOMMAND …``: the whole command line, over Django's own connection."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from ..base import EngineCommand

PROGRAM = "manage.py rollback"


class Command(EngineCommand):
    help = "Save, list, show, plan and roll back releases; `manage.py rollback --help` lists the subcommands."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: object) -> CommandParser:
        return super().create_parser(prog_name, subcommand, add_help=False, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("words", nargs=argparse.REMAINDER, help="The subcommand and its arguments.")

    def run_from_argv(self, argv: list[str]) -> None:
        """Hands the arguments to the engine, which parses them, except for the options of every Django command."""
        djangos, words = split_words(argv[2:])
        super().run_from_argv([*argv[:2], *djangos, "--verbosity", _verbosity(words), "--", *words])

    def handle(self, *args: object, **options: Any) -> None:
        words = [str(word) for word in options["words"] or args]
        self.call_engine(PROGRAM, words[1:] if words[:1] == ["--"] else words, options)


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """The options of every Django command, and the other words."""
    djangos, rest = [], []
    queue = iter(words)
    for word in queue:
        name = word.partition("=")[0]
        if name in ("--settings", "--pythonpath"):
            djangos += [word] if "=" in word else [word, next(queue, "")]
        elif word in ("--traceback", "--no-color", "--force-color"):
            djangos.append(word)
        elif word != "--skip-checks":
            rest.append(word)
    return djangos, rest


def _verbosity(words: list[str]) -> str:
    """The verbosity for receivers of Django's signals. The engine decides itself what it prints."""
    for index, word in enumerate(words):
        if word in ("-v", "--verbosity") and words[index + 1 : index + 2] and words[index + 1] in "0123":
            return words[index + 1]
    return "1"
