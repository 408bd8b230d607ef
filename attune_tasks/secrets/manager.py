"""The secret manager: gets the secrets that an action declares, and no others."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from attune_tasks.errors import InvalidReferenceError, InvalidSecretError, SecretsUnavailableError
from attune_tasks.result import Receipt
from attune_tasks.secret_values import Secrets
from attune_tasks.secrets.pool import ProviderPool
from attune_tasks.secrets.provider import SecretProvider
from attune_tasks.secrets.reading import read_all
from attune_tasks.secrets.records import Observer
from attune_tasks.secrets.references import SecretReference, parse_reference

__all__ = ["FetchedSecrets", "SecretCheck", "SecretManager"]

_logger: Final = logging.getLogger("attune_tasks.secrets")


class _Declaration(Protocol):
    @property
    def ref(self) -> str: ...
    @property
    def required(self) -> bool: ...


class _Action(Protocol):
    @property
    def ref(self) -> str: ...
    @property
    def secrets(self) -> Mapping[str, _Declaration]: ...


class FetchedSecrets(Secrets):
    """The secrets that one execution gets, and in `missing` the names of those that it goes without."""

    __slots__ = ("missing", "receipts")

    def __init__(
        self, values: Mapping[str, str], missing: tuple[str, ...] = (), receipts: tuple[Receipt, ...] = ()
    ) -> None:
        """Copy `values`, name to value; `receipts` say where each came from."""
        super().__init__(values)
        self.missing = missing
        self.receipts = receipts


class SecretCheck(NamedTuple):
    """Whether one declared reference can be had now; never its value."""

    name: str
    reference: str
    ok: bool
    reason: str
    passed: bool = True
    """Whether the value is as the caller of :meth:`SecretManager.check` would have it; where there is none, too."""


class SecretManager:
    """Fetches secrets through providers, which are made when first needed, once in each process."""

    def __init__(
        self,
        providers: Callable[[str], SecretProvider] | Mapping[str, SecretProvider],
        *,
        default_provider: str,
        fetch_timeout: float = 10.0,
        on_fetch_error: Literal["fail", "warn"] = "fail",
    ) -> None:
        """Take `providers` by name, ready ones or a function that makes one.

        `fetch_timeout` is in seconds, for all that one execution fetches. `on_fetch_error="warn"` goes on without
        required secrets that can't be had.
        """
        self._providers = ProviderPool(providers)
        self._default_provider = default_provider
        self._fetch_timeout = fetch_timeout
        self._on_fetch_error = on_fetch_error

    def fetch_secrets_for_action(
        self, action: _Action, extra: Mapping[str, str] | None = None, observe: Observer | None = None
    ) -> FetchedSecrets:
        """Get what `action` declares, and `extra` (the name of a secret parameter to its reference; all required).

        `observe` is told how each read ended. Each place is read once, however many fields are taken from it. Raises
        InvalidReferenceError for text that is no reference, InvalidSecretError for a name that stands in both, and
        SecretsUnavailableError, with every failing name, its reference and the cause, where a required secret can't
        be had.
        """
        extra = extra or {}
        if twice := sorted(action.secrets.keys() & extra.keys()):
            msg = f"{action.ref}: declared secrets and secret parameters of one name: {', '.join(twice)}"
            raise InvalidSecretError(msg)
        texts = {name: declared.ref for name, declared in action.secrets.items()} | dict(extra)
        required = {name for name, declared in action.secrets.items() if declared.required} | extra.keys()
        references, faults = self._parse(texts)
        if faults:
            msg = f"{action.ref}: these are not secret references"
            raise InvalidReferenceError(msg, problems=[f"{name}: {reason}" for name, reason in faults.items()])
        values, failures, records = read_all(references, self._providers, self._fetch_timeout)
        if observe is not None:
            observe(records)
        failed = [f"{name} ({references[name]}): {failures[name]}" for name in failures if name in required]
        if failed and self._on_fetch_error == "fail":
            msg = f"{action.ref}: secrets that it requires can't be had"
            raise SecretsUnavailableError(msg, problems=failed)
        for name in failures:
            # Names and references only: a log is kept longer, and read by more people, than an error.
            level = logging.WARNING if name in required else logging.INFO
            _logger.log(level, "%s runs without the secret %s (%s)", action.ref, name, references[name])
        receipts = tuple(Receipt(each.name, each.reference, each.version) for each in records if each.name in values)
        return FetchedSecrets(values, tuple(failures), receipts)

    def check(self, action: _Action, judge: Callable[[str], bool] = lambda _: True) -> list[SecretCheck]:
        """Try every reference that `action` declares, required or not; `judge` is asked about each value."""
        texts = {name: declared.ref for name, declared in action.secrets.items()}
        references, faults = self._parse(texts)
        values, failures, _ = read_all(references, self._providers, self._fetch_timeout)
        reasons = faults | failures
        return [
            SecretCheck(
                name,
                str(references.get(name, "(not a reference)")),
                name not in reasons,
                reasons.get(name, ""),
                name not in values or judge(values[name]),
            )
            for name in texts
        ]

    @staticmethod
    def prepare_secret_env(secrets: Mapping[str, str]) -> dict[str, str]:
        """Give `secrets` as variables ``SECRET_<NAME>``: an environment shows them to others.

        Deprecated since 0.2.0, removed in 0.3.0: actions call ``get_secret``. Raises InvalidSecretError where two
        names map to one variable.
        """
        warnings.warn(
            "prepare_secret_env() is deprecated since 0.2.0 and will be removed in 0.3.0: "
            "secrets are on the action's standard input, where get_secret() finds them",
            DeprecationWarning,
            stacklevel=2,
        )
        names: dict[str, str] = {}
        for name in secrets:
            other = names.setdefault("SECRET_" + re.sub(r"[^A-Z0-9_]", "_", name.upper()), name)
            if other != name:
                msg = f"the secrets {other!r} and {name!r} map to one variable: rename one"
                raise InvalidSecretError(msg)
        return {variable: secrets[name] for variable, name in names.items()}

    def _parse(self, texts: Mapping[str, str]) -> tuple[dict[str, SecretReference], dict[str, str]]:
        references: dict[str, SecretReference] = {}
        faults: dict[str, str] = {}
        for name, text in texts.items():
            try:
                references[name] = parse_reference(text, default_provider=self._default_provider)
            except InvalidReferenceError as error:
                faults[name] = str(error)
        return references, faults
