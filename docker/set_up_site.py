"""Part of compose.yaml's job `migrate`: makes the user admin, whose password comes from a secret's file, and orders."""

import os
import sys
from datetime import date, timedelta
from pathlib import Path

import django

sys.path.insert(0, str(Path.cwd()))  # where manage.py is
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - Django must be set up first
from shop.models import Order  # noqa: E402 - the same

PASSWORD = Path("/run/secrets/admin_password")
ORDERS = 24

admin, made = User.objects.get_or_create(username="admin", defaults={"is_staff": True, "is_superuser": True})
if made or not admin.password:  # not one that was changed since
    admin.set_password(PASSWORD.read_text(encoding="utf-8").strip())
    admin.save()
for number in range(ORDERS):
    Order.objects.get_or_create(
        number=f"A-{1000 + number}",
        defaults={
            "customer": "Ada",
            "placed_on": date(2026, 4, 1) + timedelta(days=number),
            "amount_cents": 990 + 137 * number,
        },
    )
print("the site is set up: the user admin may do everything")
