"""For a WSGI server, as ``manage.py runserver``. It serves the admin's static files, too."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = StaticFilesHandler(get_wsgi_application())
