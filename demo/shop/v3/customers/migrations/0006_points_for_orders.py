from django.db import migrations

POINTS_PER_PIECE = 10


def give_points(apps, schema_editor):
    for order in apps.get_model("orders", "Order").objects.select_related("customer"):
        order.customer.points += POINTS_PER_PIECE * order.quantity
        order.customer.save()


class Migration(migrations.Migration):
    dependencies = [("customers", "0005_points"), ("orders", "0003_fill_status")]

    operations = [migrations.RunPython(give_points, migrations.RunPython.noop)]
