from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]

    operations = [
        migrations.AddField("order", "status", models.CharField(default="open", max_length=20)),
        migrations.AddIndex("order", models.Index(fields=["status", "shipped_on"], name="order_by_status")),
    ]
