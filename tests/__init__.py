"""The tests, by reach: unit, integration, security, acceptance, browser."""
