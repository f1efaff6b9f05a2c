from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("customers", "0004_remove_name")]

    operations = [
        migrations.AddField("customer", "points", models.PositiveIntegerField(default=0)),
    ]
