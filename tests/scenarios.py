"""Trips through releases: written as migration files, deployed one after another, gone back from, and up again.

What is right is never taken from django-rollback: a rollback is held against a database freshly built at its target,
against the rows that were there, and against what `migrate --check` of the target's own code says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pprint import pformat
from subprocess import CompletedProcess
from textwrap import dedent, indent
from typing import Any

from conftest import NewDatabase
from harness import oracle
from harness.database import Database
from harness.project import Files, Project
from two_releases import everything_in

BASE_APPS = ("django.contrib.contenttypes", "django_rollback")

MIGRATION = """\
import django
from django.conf import settings
from django.db import migrations, models

# Django 5.1 has renamed the argument.
CONDITION = "condition" if django.VERSION >= (5, 1) else "check"
{code}

class Migration(migrations.Migration):
    dependencies = {after}
    run_before = {before}
    replaces = {replaces}
    atomic = {atomic}
    operations = [
{operations}    ]
"""

Result = CompletedProcess[str]
# The files of migrations by `app.name`; None deletes one, and `app: None` deletes a whole app.
Migrations = Mapping[str, str | None]


def migration(
    *operations: str,
    after: Iterable[str] = (),
    before: Iterable[str] = (),
    replaces: Iterable[str] = (),
    atomic: bool = True,
    code: str = "",
) -> str:
    """The source of a migration file; `after` and `before` hold `app.name`, or an expression in brackets."""
    return MIGRATION.format(
        operations="".join(f"{indent(dedent(operation).strip(), ' ' * 8)},\n" for operation in operations),
        after=_keys(after),
        before=_keys(before),
        replaces=_keys(replaces),
        atomic=atomic,
        code=dedent(code),
    )


def create(model: str, **fields: str) -> str:
    """The operation that creates a model with an id and these fields."""
    columns = {"id": "models.BigAutoField(primary_key=True)", **fields}
    listed = ", ".join(f"({name!r}, {definition})" for name, definition in columns.items())
    return f"migrations.CreateModel({model!r}, [{listed}])"


def add(model: str, field: str, definition: str) -> str:
    """The operation that adds a field."""
    return f"migrations.AddField({model!r}, {field!r}, {definition})"


NAMED = {"name": "models.CharField(max_length=20)"}
NUMBER = "models.IntegerField(default=0)"


@dataclass(frozen=True)
class Deployed:
    """What a release was when it was in use: the files' commands, and what the database held at its end."""

    commands: tuple[tuple[str, ...], ...]
    schema: str
    rows: oracle.Rows


class Trip:
    """A project on its way through releases, with the apps that have migrations installed."""

    def __init__(
        self, project: Project, new_database: NewDatabase, base: Iterable[str] = BASE_APPS, settings: str = ""
    ) -> None:
        self.project = project
        self.database = project.database
        self._new_database = new_database
        self.base = list(base)
        self.settings = settings
        self._apps: list[str] = []
        self._releases: dict[str, Deployed] = {}

    def deploy(
        self,
        tag: str,
        migrations: Migrations | None = None,
        *,
        rows: Iterable[str] = (),
        files: Files | None = None,
        commands: Iterable[tuple[str, ...]] = (),
    ) -> str:
        """Commit the files as `tag`, migrate, run `commands`, save, insert `rows`; return the commit."""
        self.write(migrations or {}, files)
        commit = self.project.commit(tag=tag)
        steps = (("migrate", "-v", "0"), *commands)
        call(self.project, *steps, ("save_migrations_state", "-v", "0"))
        self.execute(*rows)
        self._releases[tag] = Deployed(steps, oracle.schema(self.database), oracle.rows(self.database))
        return commit

    def write(self, migrations: Migrations, files: Files | None = None) -> None:
        """Write files and settings without a commit."""
        written: dict[str, str | None] = {}
        for name, source in migrations.items():
            app, _, file = name.partition(".")
            if not file:
                self._apps.remove(app)
                written[app] = None
                continue
            if app not in self._apps:
                self._apps.append(app)
                written[f"{app}/models.py"] = ""
            written[f"{app}/migrations/{file}.py"] = source
        self.project.install_apps([*self.base, *self._apps], extra=self.settings)
        self.project.write({**written, **(files or {})})

    def execute(self, *statements: str) -> None:
        """Run SQL on the project's database."""
        for statement in statements:
            self.database.execute(statement)

    def back(
        self,
        tag: str,
        steps: list[str],
        *,
        warnings: Iterable[str] = (),
        rows: oracle.Rows | None = None,
    ) -> Result:
        """Preview and carry out a rollback, and compare what it left with the target in every way there is.

        `steps` are `app.name`, with the way before it where it is not `disk`; `rows` are those of tables whose data
        the newer release had dropped.
        """
        untouched = everything_in(self.database)
        plan = self.plan(tag)
        same((steps_of(plan), kinds(plan["blockers"]), kinds(plan["warnings"])), (steps, [], list(warnings)))
        same(everything_in(self.database), untouched)
        result = self.project.manage("rollback_migrations", "-t", tag)
        self.assert_at(tag, rows=rows)
        return result

    def assert_at(self, tag: str, *, rows: oracle.Rows | None = None) -> None:
        """The database is what one freshly built at `tag` is, holds the rows of then, and fits the code of then."""
        fresh = self._new_database()
        target = self.project.clone_at(tag, fresh, self.project.root.with_name(f"{tag}-fresh"))
        target.use(fresh, gone_back=self.database)
        call(target, *self._releases[tag].commands, ("migrate", "--check", "--database", "gone_back"))
        same(oracle.schema(self.database), oracle.schema(fresh))
        same(recorded(self.database), recorded(fresh))
        assert oracle.content_types(self.database) >= oracle.content_types(fresh)
        expected = self._releases[tag].rows | recorded(fresh) | (rows or {})
        same(oracle.rows(self.database), expected)
        self.project.git("worktree", "remove", "--force", str(target.root))
        status = json.loads(self.project.native("status", "--format", "json", check=False).stdout)
        ahead = [each for each in status["ahead"] if each[0] != "django_rollback"]
        same((status["current"]["tags"], ahead, status["missing"], status["schema"]), ([tag], [], [], []))

    def up_again(self, *tags: str) -> None:
        """Migrate with the code of these releases in turn: each time the schema is the one that it had."""
        for tag in tags:
            self.project.checkout(tag)
            call(self.project, *self._releases[tag].commands)
            same(oracle.schema(self.database), self._releases[tag].schema)

    def plan(self, tag: str, *, code: int = 0) -> dict[str, Any]:
        """The preview as a document; `code` is the exit code that it has to end with."""
        result = self.project.manage("rollback_migrations", "-t", tag, "--fake", "--format", "json", check=False)
        assert result.returncode == code, result.stdout + result.stderr
        return json.loads(result.stdout)

    def refused(self, tag: str, *blockers: str) -> list[str]:
        """Preview and rollback both refuse for these kinds of reasons and touch nothing; the sentences come back."""
        untouched = everything_in(self.database)
        found = self.plan(tag, code=1)["blockers"]
        same(kinds(found), list(blockers))
        result = self.project.manage("rollback_migrations", "-t", tag, check=False)
        assert result.returncode == 1, result.stdout
        for blocker in found:
            assert f"Blocker: {blocker['message']}.\n  hint: {blocker['hint']}\n" in result.stdout
        same(everything_in(self.database), untouched)
        return [blocker["message"] for blocker in found]

    def releases(self) -> list[dict[str, Any]]:
        """The list, newest first."""
        return json.loads(self.project.native("list", "--format", "json").stdout)["releases"]

    def history(self) -> list[dict[str, Any]]:
        """What was done, newest first."""
        return json.loads(self.project.native("history", "--format", "json").stdout)["operations"]


def round_trip(
    trip: Trip,
    v1: Migrations,
    v2: Migrations,
    steps: list[str],
    *,
    rows: Iterable[str] = (),
    new_rows: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> None:
    """The whole trip: up, save, up, save, back, compare, up again."""
    trip.deploy("v1", v1, rows=rows)
    trip.deploy("v2", v2, rows=new_rows)
    trip.back("v1", steps, warnings=warnings)
    trip.up_again("v2")


def call(project: Project, *commands: tuple[str, ...]) -> None:
    """Run commands of `manage.py` one after another in one process, which is all that makes it faster."""
    lines = "".join(f"call_command(*{command!r})\n" for command in commands)
    project.run_python(f"from django.core.management import call_command\n{lines}")


def same(found: object, expected: object) -> None:
    """Like `assert ==`, with the difference as lines: pytest explains only what fails in a test's own file."""
    if found != expected:
        both = [(value if isinstance(value, str) else pformat(value, width=120)) for value in (expected, found)]
        lines = unified_diff(*(text.splitlines() for text in both), "expected", "found", n=1, lineterm="")
        raise AssertionError("\n".join(lines))


def steps_of(plan: dict[str, Any]) -> list[str]:
    """The steps of a plan in order, as `Trip.back` takes them."""
    prefix = {"disk": ""}
    return [f"{prefix.get(s['way'], s['way'] + ' ')}{s['app']}.{s['migration']}" for s in plan["steps"]]


def kinds(remarks: Iterable[dict[str, str]]) -> list[str]:
    """The kinds of blockers or warnings."""
    return [remark["kind"] for remark in remarks]


def recorded(database: Database) -> oracle.Rows:
    """The rows of `django_migrations`: a list, so that a row too many is seen."""
    return oracle.rows(database, ["django_migrations"])


def _keys(names: Iterable[str]) -> str:
    return f"[{', '.join(name[1:-1] if name[0] == '[' else repr(tuple(name.split('.'))) for name in names)}]"
