"""What pretix asks of the plugin, and when."""

from __future__ import annotations

import json
from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.template.loader import get_template
from django.urls import resolve, reverse
from django.utils.translation import gettext_lazy as _
from pretix.base.logentrytypes import OrderLogEntryType, log_entry_types
from pretix.base.models import LogEntry
from pretix.base.signals import periodic_task, register_payment_providers
from pretix.control.signals import nav_organizer
from pretix.presale.signals import html_head

from .accounts import PREFIX
from .booking import NEEDS_A_PERSON
from .refunds import resume


@receiver(register_payment_providers, dispatch_uid="pretix_mpesa_integrations")
def register(sender: Any, **kwargs: Any) -> type[Any]:
    """Give the payment method."""
    from .provider import VodacomMpesa

    return VodacomMpesa


@receiver(periodic_task, dispatch_uid="pretix_mpesa_integrations")
def reconcile(sender: Any, **kwargs: Any) -> None:
    """Have M-Pesa asked about open payments, and what was left undone done: by Celery's workers.

    Where pretix has no Celery, here and now.
    """
    from django_mpesa import tasks

    tasks.reconcile.apply_async()
    resume()


@receiver(html_head, dispatch_uid="pretix_mpesa_integrations")
def follow(sender: Any, request: Any = None, **kwargs: Any) -> str:
    """Put the script that follows an open payment on an order's page."""
    if resolve(request.path_info).url_name != "event.order":
        return ""
    return str(get_template("pretix_mpesa_integrations/head.html").render())


@receiver(nav_organizer, dispatch_uid="pretix_mpesa_integrations")
def navigate(sender: Any, request: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
    """Link the organiser's settings."""
    permission = "organizer.settings.general:write"
    if not request.user.has_organizer_permission(sender, permission, request=request):
        return []
    url = resolve(request.path_info)
    return [
        {
            "label": _("M-Pesa"),
            "url": reverse(
                "plugins:pretix_mpesa_integrations:organizer", kwargs={"organizer": sender.slug}
            ),
            "parent": reverse("control:organizer.edit", kwargs={"organizer": sender.slug}),
            "active": url.namespace == "plugins:pretix_mpesa_integrations",
        }
    ]


@log_entry_types.new()
class NeedsAPerson(OrderLogEntryType):  # type: ignore[misc] # pretix is not typed
    """In an order's history: M-Pesa gives no clear news of a payment."""

    action_type = NEEDS_A_PERSON
    plain = _(
        "M-Pesa gives no clear news of payment {local_id}: look up {third_party_reference} in the "
        "account's statement."
    )


@receiver(pre_save, sender=LogEntry, dispatch_uid="pretix_mpesa_integrations")
def keep_secrets_out_of_the_log(sender: Any, instance: LogEntry, **kwargs: Any) -> None:
    """Mask an event's new secrets, as pretix does where they are not one level down."""
    if instance.action_type != "pretix.event.payment.provider" or PREFIX not in instance.data:
        return
    data = json.loads(instance.data)
    for key, value in data.get("new_values", {}).items():
        if key.startswith(PREFIX) and value and ("api_key" in key or "secret" in key):
            data["new_values"][key] = "********"
    instance.data = json.dumps(data)
