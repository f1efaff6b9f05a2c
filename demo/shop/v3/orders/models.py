from django.db import models


class Order(models.Model):
    customer = models.ForeignKey("customers.Customer", on_delete=models.CASCADE)
    product = models.ForeignKey("catalog.Product", on_delete=models.PROTECT)
    quantity = models.PositiveIntegerField(default=1)
    shipped_on = models.DateField(null=True)
    status = models.CharField(max_length=20, default="open")

    class Meta:
        indexes = [models.Index(fields=["status", "shipped_on"], name="order_by_status")]
