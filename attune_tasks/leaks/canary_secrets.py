"""A canary in place of each secret that an action declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attune_tasks.errors import InvalidSecretError
from attune_tasks.leaks.canaries import make_short_canary
from attune_tasks.leaks.seeker import ValueSeeker
from attune_tasks.secret_values import Secrets
from attune_tasks.secrets import FetchedSecrets, Observer, SecretManager
from attune_tasks.wire import check_secret_value

__all__ = ["CanarySecrets"]


class CanarySecrets(SecretManager):
    """A secret manager that makes values for one execution, and tells the seeker of them."""

    def __init__(self, seeker: ValueSeeker, execution_id: int, given: Mapping[str, str] | None = None) -> None:
        """Take the values in `given`, by the names under which the action declares them, in place of made ones."""
        super().__init__({}, default_provider="canary")
        self._seeker = seeker
        self._execution_id = execution_id
        self._given = Secrets(given or {})

    def fetch_secrets_for_action(
        self,
        action: Any,
        extra: Mapping[str, str] | None = None,
        observe: Observer | None = None,  # noqa: ARG002 - nothing is read
    ) -> FetchedSecrets:
        """Make a value for each secret that `action` declares, required or not, and for its secret parameters.

        Raises InvalidSecretError where one was given that the action does not have, or that is too short to be told
        from chance.
        """
        names = dict.fromkeys([*action.secrets, *(extra or {})])
        if unknown := sorted(self._given.keys() - names.keys()):
            msg = f"{action.ref} has no secret {', '.join(unknown)}; it has: {', '.join(sorted(names)) or 'none'}"
            raise InvalidSecretError(msg)
        for name, value in self._given.items():
            check_secret_value(name, value)
        values = FetchedSecrets({name: self._given.get(name) or make_short_canary() for name in names})
        self._seeker.add(self._execution_id, values)
        if short := sorted(name for owner, name in self._seeker.ignored if owner == self._execution_id):
            msg = f"{action.ref}: too short to be told from chance: {', '.join(short)}; give 8 characters or more"
            raise InvalidSecretError(msg)
        return values
