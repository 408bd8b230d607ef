"""Settings: what they are, and where each comes from."""

from __future__ import annotations

from attune_tasks.settings.framework import set_framework_settings
from attune_tasks.settings.loading import LoadedSettings, load_settings
from attune_tasks.settings.model import Settings

__all__ = ["LoadedSettings", "Settings", "load_settings", "set_framework_settings"]
