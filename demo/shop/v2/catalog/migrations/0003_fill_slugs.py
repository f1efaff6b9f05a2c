from django.db import migrations
from django.utils.text import slugify


def fill_slugs(apps, schema_editor):
    for product in apps.get_model("catalog", "Product").objects.all():
        product.slug = slugify(product.name)
        product.save()


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_product_slug")]

    operations = [migrations.RunPython(fill_slugs, migrations.RunPython.noop)]
