"""``manage.py save_migrations_state``: saves the deployed commit as a release."""

from __future__ import annotations

import argparse

from django.core.management.base import CommandParser

from ..base import CommandOptions, OriginalCommand


class Command(OriginalCommand):
    name = "save_migrations_state"
    help = (
        "Save the deployed commit as a release, with the migrations that are applied. Run it in each deploy, after "
        "migrate. Saving the same release again changes nothing. Saving an older release again gives a warning."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--log-full-data", action="store_true", help="Print all migrations of the release.")
        parser.add_argument("--log-diff", action="store_true", help="Print what changed since the previous release.")
        parser.add_argument(
            "--commit", metavar="HEX", help="Full hash of the commit to save. Default: from the environment or git."
        )
        parser.add_argument("--release", dest="commit", help=argparse.SUPPRESS)

    def own_arguments(self, options: CommandOptions) -> list[str]:
        arguments = [f"--{flag.replace('_', '-')}" for flag in ("log_full_data", "log_diff") if options[flag]]
        return arguments + (["--commit", options["commit"]] if options["commit"] is not None else [])
