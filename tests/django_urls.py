"""The addresses of the tests' site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("actions/", include("attune_tasks.contrib.django.urls")),
]
