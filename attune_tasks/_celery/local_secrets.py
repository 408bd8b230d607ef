"""Secrets that a test gives by name, in place of a provider's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attune_tasks.errors import InvalidSecretError, SecretsUnavailableError
from attune_tasks.secret_values import Secrets
from attune_tasks.secrets import FetchedSecrets, Observer, SecretManager
from attune_tasks.wire import check_secret_value

__all__ = ["LiteralSecrets"]


class LiteralSecrets(SecretManager):
    """A secret manager with the values already in it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Take `values` by the name under which actions declare them."""
        super().__init__({}, default_provider="literal")
        self._literals = Secrets(values)

    def fetch_secrets_for_action(
        self,
        action: Any,
        extra: Mapping[str, str] | None = None,
        observe: Observer | None = None,  # noqa: ARG002 - nothing is read
    ) -> FetchedSecrets:
        """Give what `action` declares and its secret parameters, of the values at hand.

        Raises SecretsUnavailableError where a required one was not given, and InvalidSecretError where one was given
        that the action does not have.
        """
        for name, value in self._literals.items():
            check_secret_value(name, value)
        known = {*action.secrets, *(extra or {}), *action.schema.secret_parameters}
        if unknown := sorted(self._literals.keys() - known):
            msg = f"{action.ref} has no secret {', '.join(unknown)}; it has: {', '.join(sorted(known)) or 'none'}"
            raise InvalidSecretError(msg)
        wanted = {name: declared.required for name, declared in action.secrets.items()} | dict.fromkeys(
            extra or {}, True
        )
        missing = tuple(name for name in wanted if name not in self._literals)
        if required := [name for name in missing if wanted[name]]:
            msg = f"{action.ref}: secrets that it requires were not given: {', '.join(required)}"
            raise SecretsUnavailableError(msg)
        return FetchedSecrets({name: self._literals[name] for name in wanted if name in self._literals}, missing)
