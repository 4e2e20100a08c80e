"""Run by test_admin: the admin's pages, with the model of payments in an app called shop."""

import sys
from typing import Any

import django
from django.conf import settings

settings.configure(
    **{
        **{
            name: getattr(__import__("tests.django.settings", fromlist=["x"]), name)
            for name in (
                "SECRET_KEY", "USE_TZ", "ALLOWED_HOSTS", "ROOT_URLCONF", "DEFAULT_AUTO_FIELD",
                "MIDDLEWARE", "TEMPLATES", "STATIC_URL", "MPESA", "INSTALLED_APPS",
            )
        },
        "MPESA_TRANSACTION_MODEL": "shop.Payment",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    }
)  # fmt: skip
settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "shop"]
django.setup()


def main() -> None:
    from django.contrib.auth.models import Permission, User
    from django.core.management import call_command
    from django.test import Client

    from django_mpesa import get_transaction_model
    from tests.support import rows

    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    model: Any = get_transaction_model()
    paid = rows.make(
        model, operation="c2b", amount=1, state="completed", transaction_id="4X",
        msisdn="258841234567", third_party_reference="R1",
    )  # fmt: skip
    page = f"/admin/shop/payment/{paid.pk}/reverse/"
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    client = Client()
    client.force_login(user)
    listing = client.get("/admin/shop/payment/").status_code
    view = Permission.objects.get(codename="view_payment", content_type__app_label="shop")
    may = Permission.objects.get(codename="reverse_transaction", content_type__app_label="shop")
    user.user_permissions.add(view)
    statuses = [Client().get(page).status_code, client.get(page).status_code]
    user.user_permissions.add(may)
    statuses.append(client.get(page).status_code)
    detail = client.get(f"/admin/shop/payment/{paid.pk}/change/")
    assert "of the shop" in detail.content.decode()
    assert "258841234567" not in detail.content.decode()
    statuses += [client.get(f"/admin/shop/payment/{name}").status_code for name in ("", "report/")]
    assert listing == 403
    sys.stdout.write(" ".join(map(str, statuses)) + "\n")


main()
