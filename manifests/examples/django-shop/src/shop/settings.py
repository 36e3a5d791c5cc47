"""Settings, all of which come from the environment (12factor.net/config)."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
REVISION = (BASE_DIR / "VERSION").read_text().strip()
GREETING = os.environ.get("GREETING", "Welcome to the shop")
STATE_DIR = os.environ.get("STATE_DIR")

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "*").split(",")
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
MIDDLEWARE = ["shop.middleware.stamp_revision"]
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
TIME_ZONE = "UTC"
