"""The app's URLs, and a callback view as one writes it without the app."""

from __future__ import annotations

import hmac
import json

from django.contrib import admin
from django.db import transaction
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from django_mpesa.models import CallbackLog, Transaction
from django_mpesa.protection import LibraryRecords

from .by_hand import acknowledgement
from .gateway import TOKEN


@csrf_exempt
@transaction.atomic(using="postgresql")
def bare(request: HttpRequest, token: str) -> JsonResponse:
    """Store a callback and complete its payment."""
    if not hmac.compare_digest(token, TOKEN):
        raise Http404
    said = json.loads(request.body)
    CallbackLog.objects.create(
        account="default",
        body=request.body,
        conversation_id=said["input_OriginalConversationID"],
        third_party_reference=said["input_ThirdPartyReference"],
        verdict="applied",
    )
    found = (
        LibraryRecords(Transaction)
        .using("postgresql")
        .filter(
            account="default",
            third_party_reference=said["input_ThirdPartyReference"],
            conversation_id=said["input_OriginalConversationID"],
            state="pending",
        )
    )
    found.update(
        state="completed",
        transaction_id=said["input_TransactionID"],
        response_code=said["input_ResultCode"],
        response_description=said["input_ResultDesc"],
    )
    return JsonResponse(acknowledgement(said))


urlpatterns = [
    path("mpesa/", include("django_mpesa.urls")),
    path("admin/", admin.site.urls),
    path("bare/<str:token>/", bare),
]
