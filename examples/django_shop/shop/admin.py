"""The shop's own page in the admin: orders, and giving money back."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from attune_tasks.contrib.django import enqueue
from attune_tasks.contrib.django.models import Execution
from attune_tasks.contrib.django.permissions import may_run
from shop.models import Order

__all__ = ["OrderAdmin"]

_REFUND = "shop.refund"


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders."""

    list_display = ("number", "customer", "placed_on", "amount", "refunded")
    search_fields = ("number", "customer")
    date_hierarchy = "placed_on"
    actions = ("give_back",)

    @admin.display(description="amount", ordering="amount_cents")
    def amount(self, order: Order) -> str:
        """Show the amount in euros."""
        return f"{order.amount_cents / 100:.2f} EUR"

    @admin.display(description="refund")
    def refunded(self, order: Order) -> str:
        """Show how the refund stands, with a link to its execution."""
        execution = Execution.objects.filter(execution_id=order.refund).first() if order.refund else None
        if execution is None:
            return "-"
        address = reverse("admin:attune_tasks_execution_change", args=[execution.pk])
        return format_html('<a href="{}">{}</a>', address, execution.get_status_display())

    @admin.action(description="Refund the selected orders", permissions=["change"])
    def give_back(self, request: HttpRequest, orders: QuerySet[Order]) -> None:
        """Enqueue a refund for each; `enqueue` asks for no permission, so it is asked for here."""
        if not may_run(request.user, _REFUND):
            self.message_user(request, "You may not refund orders.", messages.ERROR)
            return
        for order in orders:
            given = {"order": order.number, "amount_cents": order.amount_cents}
            # The key keeps a second click from paying twice.
            handle = enqueue(_REFUND, given, user=request.user, idempotency_key=f"refund-{order.number}")
            Order.objects.filter(pk=order.pk).update(refund=handle.execution_id)
        self.message_user(request, f"{len(orders)} refunds are on their way.", messages.SUCCESS)
