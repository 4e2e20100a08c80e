"""`path("mpesa/", include("django_mpesa.urls"))` in a project's URLconf."""

from django.urls import URLPattern, path

from .status import status
from .views import callback

app_name = "django_mpesa"
urlpatterns: list[URLPattern] = [
    path("callback/<str:token>/", callback, name="callback"),
    # As people paste it: a redirect would lose the body, and put the token into a log.
    path("callback/<str:token>", callback),
    path("status/<str:token>/", status, name="status"),
]
