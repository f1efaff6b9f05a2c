from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_slug_is_unique")]

    operations = [
        migrations.AddField("product", "price_in_cents", models.PositiveIntegerField(default=0)),
    ]
