from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("catalog", "0006_convert_prices")]

    operations = [migrations.RemoveField("product", "price")]
