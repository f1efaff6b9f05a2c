"""``manage.py rollback_migrations``: takes the database back to a release."""

from __future__ import annotations

from typing import Any

from ..base import OriginalCommand


class Command(OriginalCommand):
    name = "rollback_migrations"
    help = (
        "Take the database back to the migrations of a saved release: that of a tag or a commit, or the one saved "
        "before the current one. Preview with --fake; see the saved releases with --list."
    )

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument("--list", action="store_true", help="Show the saved releases, newest first.")
        parser.add_argument("-t", "--tag", help="Tag that the release was saved under.")
        parser.add_argument("-c", "--commit", help="Commit of the release: its hash or the first digits, at least 4.")
        parser.add_argument("--fake", "--dry-run", action="store_true", help="Only show the plan; nothing is written.")

    def own_arguments(self, options: dict[str, Any]) -> list[str]:
        arguments = [f"--{flag}" for flag in ("list", "fake") if options[flag]]
        for option in ("tag", "commit"):
            if options[option] is not None:
                arguments.append(f"--{option}={options[option]}")
        return arguments
