from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("customers", "0003_split_name")]

    operations = [migrations.RemoveField("customer", "name")]
