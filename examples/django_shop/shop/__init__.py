"""A small shop whose reports and refunds are actions."""

from shop.celery import app

__all__ = ["app"]
