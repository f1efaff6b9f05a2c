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
                help_text="Which Schema; null for a release saved without one.", max_length=64, null=True
            ),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="final_schema",
            field=models.CharField(
                help_text="Which Schema it was when newer migrations came, where it had changed.",
                max_length=64,
                null=True,
            ),
        ),
    ]
