"""Looking for secrets on every surface of an execution: what leak-check and the pytest plugin are made of."""

from attune_tasks.leaks.rows import Hit, Row, Verdict
from attune_tasks.leaks.surface import Seeker, Surface, Watched

__all__ = ["Hit", "Row", "Seeker", "Surface", "Verdict", "Watched"]
