"""What the shop keeps."""

from django.db import models

__all__ = ["Order"]


class Order(models.Model):
    """An order, and the execution that gave its money back."""

    number = models.CharField(max_length=20, unique=True)
    customer = models.CharField(max_length=80)
    placed_on = models.DateField()
    amount_cents = models.PositiveIntegerField(help_text="In cents.")
    refund = models.BigIntegerField(null=True, blank=True, editable=False, help_text="Id of the execution.")

    class Meta:
        """The newest come first."""

        ordering = ("-placed_on", "-number")

    def __str__(self) -> str:
        """Say the number."""
        return self.number
