"""``manage.py rollback SUBCOMMAND …``: the whole command line, over Django's own connection."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from ..base import EngineCommand

PROGRAM = "manage.py rollback"


class Command(EngineCommand):
    help = "Save, list, show, plan and roll back releases; `manage.py rollback --help` lists the subcommands."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, add_help=False, **kwargs)

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("words", nargs=argparse.REMAINDER, help="The subcommand and its arguments.")

    def run_from_argv(self, argv: list[str]) -> None:
        """Hands every argument to the engine, which has the grammar; Django's own stay known here."""
        self._called_from_command_line = True
        words = argv[2:]
        options = {"traceback": "--traceback" in words, "no_color": "--no-color" in words}
        super().run_from_argv(
            argv[:2]
            + [f"--{name.replace('_', '-')}" for name, given in options.items() if given]
            + (["--force-color"] if "--force-color" in words else [])
            + ["--verbosity", _verbosity(words), "--"]
            + words
        )

    def handle(self, *args: Any, **options: Any) -> None:
        words = [str(word) for word in options["words"] or args]
        self.call_engine(PROGRAM, words[1:] if words[:1] == ["--"] else words, options)


def _verbosity(words: list[str]) -> str:
    """The verbosity for the signals that ``migrate`` sends; what the engine prints is the engine's to decide."""
    for index, word in enumerate(words):
        if word in ("-v", "--verbosity") and words[index + 1 : index + 2] and words[index + 1] in "0123":
            return words[index + 1]
    return "1"
