"""The tables. The engine reads and writes them with its own SQL; the models are here for Django's migrations.

History is appended: an operation is never deleted.
"""

from django.db import models


class AppsState(models.Model):
    """A release. The table is that of the original 0.4.0, which can still read it."""

    id = models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
    commit = models.CharField(max_length=64, unique=True, help_text="Full hash of the commit, in hex.")
    migrations = models.TextField(help_text="JSON: [[id, app, name], …], the newest row of each app (0.4.0 reads it).")
    timestamp = models.DateTimeField(auto_now_add=True)
    tags = models.TextField(null=True, help_text="JSON: the tags that pointed to the commit when it was saved.")
    applied_set = models.CharField(
        max_length=64, null=True, help_text="Which AppliedSet; null for a release that 0.4.0 saved."
    )
    schema = models.CharField(max_length=64, null=True, help_text="Which Schema; null for a release saved without one.")
    final_schema = models.CharField(
        max_length=64, null=True, help_text="Which Schema it was when newer migrations came, where it had changed."
    )
    manifest = models.CharField(max_length=64, null=True, help_text="Which Archive lists its capsules.")
    key_id = models.CharField(max_length=64, null=True, help_text="Which key signed that list.")
    signature = models.CharField(max_length=64, null=True, help_text="HMAC-SHA-256, in hex.")

    class Meta:
        verbose_name = "release"

    def __str__(self) -> str:
        return str(self.commit)[:7]


class AppliedSet(models.Model):
    """All migrations that were applied at one moment, under the SHA-256 of their document."""

    hash = models.CharField(max_length=64, primary_key=True)
    size = models.IntegerField(help_text="How many migrations.")
    body = models.TextField(help_text="JSON document with its own format version.")


class Schema(models.Model):
    """What the database's catalogue said when a release was saved, under the SHA-256 of the document."""

    hash = models.CharField(max_length=64, primary_key=True)
    body = models.TextField(help_text="JSON document: tables, columns, indexes, constraints, views.")


class Capsule(models.Model):
    """What undoes one migration without its file, under the SHA-256 of its document."""

    app = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    digest = models.CharField(max_length=64, unique=True)
    format = models.IntegerField(help_text="Version of the document.")
    body = models.TextField(help_text="JSON document: dependencies, what it replaces, what cannot be undone.")
    at = models.DateTimeField()
    key_id = models.CharField(max_length=64, null=True, help_text="Which key signed it.")
    signature = models.CharField(max_length=64, null=True, help_text="HMAC-SHA-256, in hex.")


class Archive(models.Model):
    """The source of a migration, the SQL that undoes it, or the list of a release's capsules, under its SHA-256."""

    hash = models.CharField(max_length=64, primary_key=True)
    body = models.TextField(help_text="The text, compressed by zlib, in base64.")


class Identity(models.Model):
    """One row: what tells this database from others. It is part of every signature."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    database = models.CharField(max_length=64, help_text="A random number: no other database has it.")


class Operation(models.Model):
    """One line of history."""

    kind = models.CharField(max_length=32)
    outcome = models.CharField(max_length=32)
    body = models.TextField(help_text="JSON document: who, where, from, to, steps.")
    at = models.DateTimeField()


class Lock(models.Model):
    """One row. A save, a rollback or a ``migrate`` holds it."""

    id = models.PositiveSmallIntegerField(primary_key=True)
