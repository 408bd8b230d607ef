"""``uvicorn shop.asgi:application``. It serves the admin's static files, too."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = ASGIStaticFilesHandler(get_asgi_application())
