"""Settings of the shop.

What differs from place to place comes from the environment, and holds no secret: ``SHOP_DATA`` (folder of the database
and of what is generated), ``SHOP_HOSTS`` (names that it is served by), ``DJANGO_SECRET_KEY_FILE``. Broker, result
backend and secret provider come from the settings of attune_tasks: ``attune-tasks.toml``, or the file that
``ATTUNE_TASKS_CONFIG`` names.
"""

import os
from pathlib import Path

from attune_tasks.settings import load_settings
from shop.secret_key import read_or_make

BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SHOP_DATA") or BASE_DIR / "data")

_key_file = os.environ.get("DJANGO_SECRET_KEY_FILE")
SECRET_KEY = Path(_key_file).read_text(encoding="utf-8").strip() if _key_file else read_or_make(DATA / "secret-key")
ALLOWED_HOSTS = os.environ.get("SHOP_HOSTS", "localhost,127.0.0.1").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "attune_tasks.contrib.django",
    "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "shop.policy.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
ASGI_APPLICATION = "shop.asgi.application"
STATIC_URL = "/static/"
STATIC_ROOT = DATA / "static"  # for a web server that serves files itself: manage.py collectstatic
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "shop.sqlite3",
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
USE_TZ = True
TIME_ZONE = "UTC"

ATTUNE_TASKS = {"packs": [BASE_DIR / "packs"], "django": {"keep": "90d"}}

_attune = load_settings().settings
CELERY_BROKER_URL = _attune.broker_url or "redis://localhost:6379/0"
CELERY_RESULT_BACKEND = _attune.result_backend or CELERY_BROKER_URL
CELERY_TASK_SEND_SENT_EVENT = True  # so that Flower sees what the site enqueues
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
