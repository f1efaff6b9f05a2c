"""Copied into a project and run there: Django's own `migrate`, told exactly which migrations to apply or unapply.

Nothing of django-rollback is used, so that what it does can be held against this.
"""

from collections.abc import Iterable
from unittest import mock

from django.core.management import call_command
from django.db import connection
from django.db.migrations import RunPython, SeparateDatabaseAndState
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.graph import MigrationGraph

Key = tuple[str, str]


def ordered(first: set[str]) -> list[dict[str, object]]:
    """Django's full plan, with what the apps `first` need at its start; each migration with what speaks of it."""
    loader = MigrationExecutor(connection).loader
    graph: MigrationGraph = loader.graph
    full = [(m.app_label, m.name) for m, _ in MigrationExecutor(connection).migration_plan(graph.leaf_nodes(), True)]
    needed = {key for leaf in graph.leaf_nodes() if leaf[0] in first for key in graph.forwards_plan(leaf)}
    return [
        {
            "key": key,
            "parents": sorted(node.key for node in graph.node_map[key].parents),
            "base": key in needed,
            "irreversible": not _reversible(loader.get_migration(*key).operations),
        }
        for key in sorted(full, key=lambda key: key not in needed)
    ]


def irreversible(keys: Iterable[Key]) -> list[Key]:
    """Those of these migrations that have no way back."""
    loader = MigrationExecutor(connection).loader
    return [key for key in keys if not _reversible(loader.disk_migrations[tuple(key)].operations)]


def replaced() -> list[tuple[Key, list[Key]]]:
    """Each squash with what it replaces."""
    migrations = MigrationExecutor(connection).loader.disk_migrations
    return [(key, migration.replaces) for key, migration in sorted(migrations.items()) if migration.replaces]


def forwards(keys: Iterable[Key]) -> None:
    """Apply these migrations, in Django's order."""
    _migrate({tuple(key) for key in keys}, backwards=False)


def backwards(keys: Iterable[Key]) -> None:
    """Unapply these migrations in one pass, in the reverse of Django's order.

    `RunPython` makes relations exact only on its way forwards, so that much of what was published fails on its way
    back, whoever asks for it: here it does so both ways.
    """
    stock = RunPython.database_backwards

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        from_state.clear_delayed_apps_cache()
        stock(self, app_label, schema_editor, from_state, to_state)

    with mock.patch.object(RunPython, "database_backwards", database_backwards):
        _migrate({tuple(key) for key in keys}, backwards=True)


def _migrate(keys: set[Key], *, backwards: bool) -> None:
    class Executor(MigrationExecutor):
        def migration_plan(self, targets, clean_start=False):
            if clean_start:
                return super().migration_plan(targets, clean_start)
            full = super().migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)
            chosen = [(migration, backwards) for migration, _ in full if (migration.app_label, migration.name) in keys]
            assert len(chosen) == len(keys), keys
            return chosen[::-1] if backwards else chosen

    with mock.patch("django.core.management.commands.migrate.MigrationExecutor", Executor):
        call_command("migrate", verbosity=0, skip_checks=True)


def _reversible(operations) -> bool:
    return all(
        operation.reversible
        and (not isinstance(operation, SeparateDatabaseAndState) or _reversible(operation.database_operations))
        for operation in operations
    )
