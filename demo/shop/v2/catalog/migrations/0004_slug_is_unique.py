from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_fill_slugs")]

    operations = [
        migrations.AlterField("product", "slug", models.SlugField(max_length=100, unique=True)),
    ]
