from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("mpesa/", include("django_mpesa.urls")),
    path("admin/", admin.site.urls),
]
