"""``manage.py save_migrations_state``: records which migrations belong to the deployed commit."""

from __future__ import annotations

import argparse
from typing import Any

from ..base import OriginalCommand


class Command(OriginalCommand):
    name = "save_migrations_state"
    help = (
        "Record which migrations belong to the deployed commit. Run it in each deploy, after migrate. Saving the same "
        "again changes nothing; a commit that is saved already and is not the newest release gives a warning."
    )

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.add_argument("--log-full-data", action="store_true", help="Print all migrations of the release.")
        parser.add_argument("--log-diff", action="store_true", help="Print what changed since the release before.")
        parser.add_argument("--commit", metavar="HEX", help="Commit to save, in full. Default: found by itself.")
        parser.add_argument("--release", dest="commit", help=argparse.SUPPRESS)

    def own_arguments(self, options: dict[str, Any]) -> list[str]:
        arguments = [f"--{flag.replace('_', '-')}" for flag in ("log_full_data", "log_diff") if options[flag]]
        return arguments + (["--commit", options["commit"]] if options["commit"] is not None else [])
