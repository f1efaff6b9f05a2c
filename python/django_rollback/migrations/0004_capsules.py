"""The database carries its own way back: sources and recorded SQL, signed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_rollback", "0003_schemas")]

    operations = [
        migrations.CreateModel(
            name="Archive",
            fields=[
                ("hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("body", models.TextField(help_text="The text, compressed by zlib, in base64.")),
            ],
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("database", models.CharField(help_text="A random number: no other database has it.", max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name="capsule",
            name="key_id",
            field=models.CharField(help_text="Which key signed it.", max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="capsule",
            name="signature",
            field=models.CharField(help_text="HMAC-SHA-256, in hex.", max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="manifest",
            field=models.CharField(help_text="Which Archive lists its capsules.", max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="key_id",
            field=models.CharField(help_text="Which key signed that list.", max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="appsstate",
            name="signature",
            field=models.CharField(help_text="HMAC-SHA-256, in hex.", max_length=64, null=True),
        ),
    ]
