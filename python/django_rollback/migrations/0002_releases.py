"""From the original's table to ours: commits are unique and may be SHA-256, sets are stored whole, history is kept."""

from django.db import migrations, models
from django.db.models import Max


def merge_duplicates(apps, schema_editor):
    """Two saves at once left the original with two rows of one commit: keep the newer one."""
    releases = apps.get_model("django_rollback", "AppsState").objects.using(schema_editor.connection.alias)
    newest = releases.values("commit").annotate(newest=Max("id")).order_by().values("newest")
    releases.exclude(id__in=list(newest.values_list("newest", flat=True))).delete()


def add_lock(apps, schema_editor):
    apps.get_model("django_rollback", "Lock").objects.using(schema_editor.connection.alias).get_or_create(id=1)


class Migration(migrations.Migration):
    dependencies = [("django_rollback", "0001_initial")]

    operations = [
        migrations.RunPython(merge_duplicates, migrations.RunPython.noop),
        migrations.AlterModelOptions(name="appsstate", options={"verbose_name": "release"}),
        migrations.AlterField(
            model_name="appsstate",
            name="commit",
            field=models.CharField(help_text="Full hash of the commit, in hex.", max_length=64, unique=True),
        ),
        migrations.AlterField(
            model_name="appsstate",
            name="migrations",
            field=models.TextField(
                help_text="JSON: [[id, app, name], …], the newest row of each app (0.4.0 reads it)."
            ),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="tags",
            field=models.TextField(help_text="JSON: the tags that pointed to the commit when it was saved.", null=True),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="applied_set",
            field=models.CharField(
                help_text="Which AppliedSet; null for a release that 0.4.0 saved.", max_length=64, null=True
            ),
        ),
        migrations.CreateModel(
            name="AppliedSet",
            fields=[
                ("hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("size", models.IntegerField(help_text="How many migrations.")),
                ("body", models.TextField(help_text="JSON document with its own format version.")),
            ],
        ),
        migrations.CreateModel(
            name="Capsule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("app", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("format", models.IntegerField(help_text="Version of the document.")),
                (
                    "body",
                    models.TextField(help_text="JSON document: dependencies, what it replaces, what cannot be undone."),
                ),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=32)),
                ("outcome", models.CharField(max_length=32)),
                ("body", models.TextField(help_text="JSON document: who, where, from, to, steps.")),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Lock",
            fields=[("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False))],
        ),
        migrations.RunPython(add_lock, migrations.RunPython.noop),
    ]
