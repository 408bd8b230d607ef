"""Thousands of executions of all kinds, while workers are killed and Redis is restarted: ``python -m tests.soak``."""
