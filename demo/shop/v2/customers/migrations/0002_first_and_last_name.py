from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial")]

    operations = [
        migrations.AddField("customer", "first_name", models.CharField(default="", max_length=100)),
        migrations.AddField("customer", "last_name", models.CharField(default="", max_length=100)),
    ]
