"""Django's settings: no middleware and no application but what the tracer's documentation puts there."""

from __future__ import annotations

import tracers

DEBUG = False
SECRET_KEY = "k" * 50
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_urls"
MIDDLEWARE: list[str] = []
INSTALLED_APPS: list[str] = []
LOGGING_CONFIG = None
globals().update(tracers.django({"MIDDLEWARE": MIDDLEWARE, "INSTALLED_APPS": INSTALLED_APPS}))
