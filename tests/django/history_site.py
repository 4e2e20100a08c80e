"""Run by test_history: three admin sites of a shop, each page and action of which is sent to.

Prints what changed in the payments, callbacks and outbox, a line each, and how much was tried.
"""

import sys
from typing import Any, ClassVar

import django
from django.conf import settings

settings.configure(
    **{
        **{
            name: getattr(__import__("tests.django.settings", fromlist=["x"]), name)
            for name in (
                "SECRET_KEY", "USE_TZ", "ALLOWED_HOSTS", "DEFAULT_AUTO_FIELD", "MIDDLEWARE",
                "TEMPLATES", "STATIC_URL", "MPESA", "INSTALLED_APPS",
            )
        },
        "ROOT_URLCONF": "history_urls",
        "MPESA_TRANSACTION_MODEL": "shop.Payment",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    }
)  # fmt: skip
settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "shop"]
django.setup()

OF_THE_SHOP = {"order_id", "metadata", "content_type_id", "object_id"}


def sites() -> list[Any]:
    """The default site; one whose order has payments as inlines, and no admin of them; and ours,
    subclassed as far as that goes."""
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.contrib.contenttypes.admin import GenericTabularInline
    from shop.models import Order, Payment  # type: ignore[import-not-found]

    from django_mpesa.admin import TransactionAdmin
    from django_mpesa.models import CallbackLog, OutboxEntry

    class Callbacks(admin.TabularInline):  # type: ignore[type-arg]
        model = CallbackLog

    class Payments(admin.TabularInline):  # type: ignore[type-arg]
        model = Payment

    class PaidBy(GenericTabularInline):
        model = Payment

    class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
        inlines = (Payments, PaidBy)
        save_as = True

    class OpenedAdmin(TransactionAdmin):
        inlines: ClassVar[Any] = (Callbacks, Payments)
        save_as = True
        readonly_fields = ()
        list_display: Any = ("state", "amount", "reference")

    admin.site.register(Order)
    bare, opened = admin.AdminSite("bare"), admin.AdminSite("opened")
    bare.register(Order, OrderAdmin)
    opened.register(Payment, OpenedAdmin)
    opened.register(Order, OrderAdmin)
    opened.register(User)
    assert OutboxEntry not in bare._registry
    return [admin.site, bare, opened]


def routes(patterns: Any, prefix: str = "") -> Any:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def sent(page: Any, pk: int, action: str) -> dict[str, Any]:
    """All that the forms of a page would send, changed, and whatever deletes."""
    data: dict[str, Any] = {
        "_save": "1", "_saveasnew": "1", "post": "yes", "index": "0", "action": action,
        "_selected_action": [str(pk)], "state": "failed", "amount": "1", "reference": "OTHER",
    }  # fmt: skip
    context = page.context or {}
    formsets = [found.formset for found in context.get("inline_admin_formsets", ())]
    changes = getattr(context.get("cl"), "formset", None)
    for formset in [*formsets, *([changes] if changes else [])]:
        forms = [formset.management_form, *formset.forms]
        for form in forms:
            for name in form.fields:
                value = form[name].value()
                data[form[name].html_name] = "" if value is None else value
        for form in formset.forms:
            data |= {f"{form.prefix}-{name}": value for name, value in (
                ("state", "failed"), ("amount", "1"), ("msisdn", "258840000000"))}  # fmt: skip
            if action == "delete_selected":
                data[f"{form.prefix}-DELETE"] = "on"
    return data


def rows() -> dict[Any, Any]:
    from shop.models import Payment

    from django_mpesa.models import CallbackLog, OutboxEntry

    return {
        (model.__name__, row["id"]): {k: v for k, v in row.items() if k not in OF_THE_SHOP}
        for model in (Payment, CallbackLog, OutboxEntry)
        for row in model.objects.values()
    }


def main() -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client
    from history_urls import SITES  # type: ignore[import-not-found]
    from shop.models import Order, Payment

    from django_mpesa.models import CallbackLog, OutboxEntry
    from django_mpesa.protection import insert

    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    for number in (1, 2):  # the first with no callback, which would protect it
        order = Order.objects.create()
        paid: Any = Payment(
            operation="c2b", amount=10, state="completed", transaction_id=f"4X{number}",
            msisdn="258841234567", third_party_reference=f"R{number}", order=order, paid_for=order,
        )  # fmt: skip
        insert(paid, "default")
    CallbackLog.objects.create(account="default", body=b"{}", transaction=paid, verdict="applied")
    OutboxEntry.objects.create(
        id="n", account="default", event="payment_completed", transaction=paid,
        due_at=paid.created_at,
    )  # fmt: skip
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("boss", password="x"))
    before, tried = rows(), 0
    for name, site in SITES.items():
        models = {"payment", "callbacklog", "order"}
        for route in routes(site.urls[0]):
            if not models & set(route.split("/")) or "<path:url>" in route:
                continue
            admins = [a for m, a in site._registry.items() if m._meta.model_name in models]
            actions = {action for a in admins for action in a.get_actions(request(client))}
            for action in sorted(
                actions - {"ask_gateway", "reverse"} | {"delete_selected", "save"}
            ):
                page = f"/{name}/{route.replace('<path:object_id>', '1')}"
                shown = client.get(page)
                data = sent(shown, 1, action)
                client.post(page, data)
                client.post(page, {k: v for k, v in data.items() if k != "_saveasnew"})
                tried += 1
                if rows() != before:
                    sys.stdout.write(f"changed by {page} {action}: {rows()}\n")
                    sys.exit(1)
    sys.stdout.write(f"{tried} tried, {Order.objects.count()} orders\n")


def request(client: Any) -> Any:
    from django.contrib.auth.models import User
    from django.test import RequestFactory

    found = RequestFactory().get("/")
    found.user = User.objects.get()
    return found


if __name__ == "__main__":
    main()
