from django.db import migrations


def split_name(apps, schema_editor):
    for customer in apps.get_model("customers", "Customer").objects.all():
        customer.first_name, _, customer.last_name = customer.name.rpartition(" ")
        customer.save()


def join_name(apps, schema_editor):
    for customer in apps.get_model("customers", "Customer").objects.all():
        customer.name = f"{customer.first_name} {customer.last_name}".strip()
        customer.save()


class Migration(migrations.Migration):
    dependencies = [("customers", "0002_first_and_last_name")]

    operations = [migrations.RunPython(split_name, join_name)]
