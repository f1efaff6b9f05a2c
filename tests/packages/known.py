"""What published migrations do not bring back, whoever undoes them: said once, by name, each with its reason.

A test forgives only what stands here, and only where Django's own executor leaves the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.project import Project


class Known(NamedTuple):
    """A difference in a schema: what is found, and as what it counts."""

    reason: str
    found: str
    counts_as: str


DIFFERENCES = (
    Known(
        "taggit.0006 names an index of `index_together` by `RenameIndex`, which does nothing on its way back",
        "^index taggit_taggeditem taggit_tagg_content_8fc721_idx: ",
        "index taggit_taggeditem (generated): ",
    ),
    Known(
        "wagtailcore.0027 sets the collation of a path by SQL, on PostgreSQL only, with a `noop` as its reverse",
        "^(column wagtailcore_collection path: .*) collate C$",
        r"\1",
    ),
    Known(
        "on PostgreSQL `AlterField` from `db_index=True` drops every index of the one column, also that of a partial "
        "`UniqueConstraint`, when account.0007 is undone",
        "^index account_emailaddress unique_verified_email: .*\n",
        "",
    ),
)


NOT_EXACT = "after all steps the schema is not the one that"


def go_back(project: Project, commit: str) -> bool:
    """Go back, and say whether the proof held. Where a package does not go back exactly the rollback says so, and has
    to be told that this will do."""
    command = ("rollback_migrations", "-c", commit)
    result = project.manage(*command, check=False)
    if result.returncode == 0:
        return True
    assert NOT_EXACT in result.stderr, result.stdout + result.stderr
    project.manage(*command, "--no-verify")
    return False


def forgiven(schema: str) -> str:
    """The schema with each known difference as what it counts as."""
    for known in DIFFERENCES:
        schema = re.sub(known.found, known.counts_as, schema, flags=re.MULTILINE)
    return "".join(sorted(schema.splitlines(keepends=True)))
