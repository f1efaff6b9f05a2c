from django.db import migrations


def fill_status(apps, schema_editor):
    apps.get_model("orders", "Order").objects.filter(shipped_on__isnull=False).update(status="shipped")


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_status")]

    operations = [migrations.RunPython(fill_status, migrations.RunPython.noop)]
