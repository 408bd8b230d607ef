"""Looking for secrets on every surface of an execution: what leak-check and the pytest plugin are made of."""

from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.rows import Hit, Row, Verdict
from attune_tasks.leaks.seeker import ValueSeeker
from attune_tasks.leaks.surface import Found, Seeker, Surface, Watched

__all__ = ["Findings", "Found", "Hit", "Row", "Seeker", "Surface", "ValueSeeker", "Verdict", "Watched"]
