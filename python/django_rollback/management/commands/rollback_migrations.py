"""``manage.py rollback_migrations``: takes the database back to a release."""

from __future__ import annotations

from typing import Any

from ... import conf
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
        parser.add_argument("--resume", action="store_true", help="Finish the rollback that stopped part-way.")
        parser.add_argument(
            "--abort", action="store_true", help="Leave the database where the rollback that stopped has brought it."
        )
        parser.add_argument("--accept-data-loss", action="store_true", help="Lose what the plan says would be lost.")
        parser.add_argument("--max-lost-rows", metavar="N", type=int, help="Lose at most this many rows and values.")
        parser.add_argument("--noinput", "--no-input", action="store_true", help="Ask nothing.")
        parser.add_argument(
            "--lock-timeout", metavar="MS", type=int, help="How long a statement waits for a lock. Default: 100."
        )
        parser.add_argument(
            "--wait", metavar="SECONDS", type=int, help="For how long other sessions are waited for. Default: 60."
        )
        parser.add_argument(
            "--no-verify", action="store_true", help="Commit even where the schema is not the one the release had."
        )

    def own_arguments(self, options: dict[str, Any]) -> list[str]:
        flags = ("list", "fake", "resume", "abort", "accept_data_loss", "noinput", "no_verify")
        arguments = [f"--{flag.replace('_', '-')}" for flag in flags if options[flag]]
        for option in ("tag", "commit", "max_lost_rows", "lock_timeout", "wait"):
            if options[option] is not None:
                arguments.append(f"--{option.replace('_', '-')}={options[option]}")
        if conf.options().DATA_LOSS == "refuse":
            arguments.append("--refuse-data-loss")
        return arguments
