"""The shop's addresses."""

from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.catalogue, name="catalogue"),
    path("basket/", views.basket, name="basket"),
    path("basket/<int:product_id>/", views.put_in_basket, name="put_in_basket"),
    path("checkout/", views.checkout, name="checkout"),
    path("orders/<uuid:token>/", views.order, name="order"),
    path("language/", include("django.conf.urls.i18n")),
    path("mpesa/", include("django_mpesa.urls")),
    path("admin/", admin.site.urls),
]
