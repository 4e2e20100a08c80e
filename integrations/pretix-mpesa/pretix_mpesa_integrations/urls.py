"""The addresses: the callback on the main domain, and where a page asks for its payment."""

from __future__ import annotations

from django.urls import include, path, re_path

from .views import OrganizerAccount, PaymentStatus

urlpatterns = [
    path("_mpesa/", include("django_mpesa.urls")),
    re_path(
        r"^control/organizer/(?P<organizer>[^/]+)/mpesa/$",
        OrganizerAccount.as_view(),
        name="organizer",
    ),
]
event_patterns = [
    path("mpesa/<str:order>/<str:secret>/<int:payment>/", PaymentStatus.as_view(), name="status"),
]
