"""The one route of the Django application."""

from __future__ import annotations

from typing import Any, Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path

watch: Callable[[], Any] = lambda: None  # noqa: E731


def user(request: HttpRequest, id: str) -> HttpResponse:
    """A short text."""
    watch()
    return HttpResponse("user " + id)


urlpatterns = [path("users/<id>", user)]
