from decimal import Decimal

from django.db import migrations


def to_cents(apps, schema_editor):
    for product in apps.get_model("catalog", "Product").objects.all():
        product.price_in_cents = int(product.price * 100)
        product.save()


def from_cents(apps, schema_editor):
    for product in apps.get_model("catalog", "Product").objects.all():
        product.price = Decimal(product.price_in_cents) / 100
        product.save()


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_price_in_cents")]

    operations = [migrations.RunPython(to_cents, from_cents)]
