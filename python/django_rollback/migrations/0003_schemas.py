"""The schema that each release had is stored with it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_rollback", "0002_releases")]

    operations = [
        migrations.CreateModel(
            name="Schema",
            fields=[
                ("hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("body", models.TextField(help_text="JSON document: tables, columns, indexes, constraints, views.")),
            ],
        ),
        migrations.AddField(
            model_name="appsstate",
            name="schema",
            field=models.CharField(
                help_text="Which Schema; null for a release that was saved before schemas were stored.", max_length=64, null=True
            ),
        ),
    ]
