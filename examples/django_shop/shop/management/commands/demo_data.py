"""``manage.py demo_data``: orders, and two users with passwords that are made up and printed once."""

import json
import secrets
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.management.base import BaseCommand

from shop.models import Order

_CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances")
_ORDERS = 24


class Command(BaseCommand):
    """Makes what a demonstration needs."""

    help = (
        "Make orders and two users: ada, who may do everything, and bob, who may run nothing. Prints their passwords."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        """Make them; print ``{"ada": password, "bob": password}``."""
        for number in range(_ORDERS):
            Order.objects.get_or_create(
                number=f"A-{1000 + number}",
                defaults={
                    "customer": _CUSTOMERS[number % len(_CUSTOMERS)],
                    "placed_on": date(2026, 4, 1) + timedelta(days=number),
                    "amount_cents": 990 + 137 * number,
                },
            )
        passwords = {name: secrets.token_urlsafe(12) for name in ("ada", "bob")}
        for name, password in passwords.items():
            user, _made = User.objects.get_or_create(username=name)
            user.is_staff, user.is_superuser = True, name == "ada"
            user.set_password(password)
            user.save()
        bob = User.objects.get(username="bob")
        bob.user_permissions.set(Permission.objects.filter(codename__in=["view_order", "view_execution"]))
        self.stdout.write(json.dumps(passwords))
