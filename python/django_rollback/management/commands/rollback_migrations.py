"""``manage.py rollback_migrations``: takes the database back to a release."""

from __future__ import annotations

from django.core.management.base import CommandParser

from ... import conf
from ..base import CommandOptions, OriginalCommand


class Command(OriginalCommand):
    name = "rollback_migrations"
    help = (
        "Take the database back to the migrations of a saved release: the one with this tag or commit, or by default "
        "the one saved before the current one. --fake shows the plan, --list the saved releases."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)

        def flag(*names: str, help: str) -> None:
            parser.add_argument(*names, action="store_true", help=help)

        def number(name: str, metavar: str, help: str) -> None:
            parser.add_argument(name, metavar=metavar, type=int, help=help)

        flag("--list", help="Show the saved releases, newest first.")
        parser.add_argument("-t", "--tag", help="Tag of the release.")
        parser.add_argument("-c", "--commit", help="Commit of the release: its hash, or at least its first 4 digits.")
        flag("--fake", "--dry-run", help="Show the plan and change nothing.")
        flag("--resume", help="Finish a rollback that stopped part-way.")
        flag("--abort", help="Give up a rollback that stopped part-way. The database stays as it is.")
        flag("--accept-data-loss", help="Accept the losses that the plan shows.")
        number("--max-lost-rows", "N", help="Accept the loss of at most N rows and values.")
        flag("--noinput", "--no-input", help="Ask no questions.")
        number("--lock-timeout", "MS", help="How long a statement waits for a lock, in milliseconds. Default: 100.")
        number("--wait", "SECONDS", help="How long to wait for other sessions, in seconds. Default: 60.")
        flag("--no-verify", help="Commit even if the schema differs from that of the release.")

    def own_arguments(self, options: CommandOptions) -> list[str]:
        flags = ("list", "fake", "resume", "abort", "accept_data_loss", "noinput", "no_verify")
        arguments = [f"--{flag.replace('_', '-')}" for flag in flags if options[flag]]
        for option in ("tag", "commit", "max_lost_rows", "lock_timeout", "wait"):
            if options[option] is not None:
                arguments.append(f"--{option.replace('_', '-')}={options[option]}")
        if conf.options().DATA_LOSS == "refuse":
            arguments.append("--refuse-data-loss")
        return arguments
