from django.db import models


class Customer(models.Model):
    first_name = models.CharField(max_length=100, default="")
    last_name = models.CharField(max_length=100, default="")
    email = models.EmailField(unique=True)
    points = models.PositiveIntegerField(default=0)
