"""Puts one execution together, from the request to the masked result. Needs no Celery, no Redis and no Vault."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from attune_tasks.audit import write_audit
from attune_tasks.confinement import Confinement, Limits
from attune_tasks.context import ExecutionContext, ExecutionRequest
from attune_tasks.errors import (
    ActionDisabledError,
    AttuneTasksError,
    EnvironmentNotAllowedError,
    InvalidParametersError,
    SecretNotMaskableError,
    StartError,
    place_of,
)
from attune_tasks.guard import Guard, Texts
from attune_tasks.known_packs import load_packs
from attune_tasks.log_fields import about, logged_as
from attune_tasks.masking import Masker
from attune_tasks.packs import Action, PackRegistry, content_of
from attune_tasks.process import (
    MAX_ERROR_CHARACTERS,
    Cancellation,
    Filtered,
    Launchers,
    LaunchersPolicy,
    LiveSink,
    Supervision,
)
from attune_tasks.result import NOT_STARTED, ExecutionResult, Receipt, Status
from attune_tasks.runtimes import Runtime, get_runtime
from attune_tasks.secrets import SecretManager, create_provider, how_to_store
from attune_tasks.settings import LoadedSettings, Settings
from attune_tasks.wire_names import is_variable_text

__all__ = ["ActionExecutor", "build_executor"]

logger = logging.getLogger("attune_tasks.executor")


def build_executor(
    loaded: LoadedSettings, time_limits: tuple[type[Exception], ...] = (), guardians: Sequence[int] = ()
) -> ActionExecutor:
    """Make an executor from settings. Raises PackError with all faults of all packs.

    `time_limits` are what its caller's own time limit raises in the midst of an execution, which then timed out.
    `guardians` are the pids of other processes with whose end whatever runs is taken down.
    """
    secrets = loaded.settings.secrets
    manager = SecretManager(
        lambda name: create_provider(name, secrets),
        default_provider=secrets.provider,
        fetch_timeout=secrets.fetch_timeout,
        on_fetch_error=secrets.on_fetch_error,
    )
    return ActionExecutor(load_packs(loaded), manager, loaded.settings, time_limits, guardians)


class ActionExecutor:
    """Runs executions, one at a time per call; calls from several threads are fine.

    It keeps launchers ready, which end with :meth:`close`, or when it is forgotten.
    """

    def __init__(
        self,
        registry: PackRegistry,
        secret_manager: SecretManager,
        settings: Settings,
        time_limits: tuple[type[Exception], ...] = (),
        guardians: Sequence[int] = (),
    ) -> None:
        """Use these packs, secrets and settings; for the last two see :func:`build_executor`."""
        self.registry = registry
        self.secret_manager = secret_manager
        self.settings = settings
        self._time_limits = time_limits
        self._runtimes: dict[str, Runtime] = {}
        self._confinements: dict[str, Confinement] = {}
        kept = settings.launchers
        self._launchers = Launchers(
            LaunchersPolicy(
                kept.per_slot,
                kept.renew_after,
                undumpable=kept.undumpable,
                cgroup=kept.cgroup,
                standby=kept.standby,
                guardians=tuple(guardians),
            )
        )

    def close(self) -> None:
        """End the launchers that wait for the next execution."""
        self._launchers.close()

    def with_secrets(self, secret_manager: SecretManager) -> ActionExecutor:
        """Give an executor that is this one in all but where secrets come from; closing this one is closing it."""
        other = copy.copy(self)
        other.secret_manager = secret_manager
        return other

    def execute(
        self, request: ExecutionRequest, cancellation: Cancellation | None = None, live: LiveSink | None = None
    ) -> ExecutionResult:
        """Run one execution to its end. What goes wrong is in the result, never raised; all of it is masked.

        `live` gets what the action says while it runs, masked, too.
        """
        try:
            with logged_as(request.execution_id, request.action_ref, request.task_id):
                return self._execute(request, cancellation, live)
        except Exception as error:  # noqa: BLE001 - masking has failed: nothing is shown of what was said
            return _unexpected(request, error)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            interrupt = error.with_traceback(None)
        # Without the frames in which it came, and without what it came from: error reporters write down variables.
        interrupt.__cause__ = interrupt.__context__ = None
        raise interrupt

    def _execute(
        self, request: ExecutionRequest, cancellation: Cancellation | None, live: LiveSink | None
    ) -> ExecutionResult:
        given = _Given(Masker({}))
        try:
            if cancellation is not None and cancellation.requested:
                return _cancelled(request)
            context = self.prepare_execution_context(request)
            if cancellation is not None and cancellation.requested:  # while secrets were fetched
                return _cancelled(request)
            given = _Given(self._masker(context), context.secrets_missing, context.receipts)
            guard = Guard(context.secrets, given.masker)
            guard.check(_texts_of(request, context))
            supervision = Supervision(
                guard=guard,
                grace=self.settings.grace,
                keep_bytes=self.settings.output.keep_bytes,
                output_filter=given.masker,
                cancellation=cancellation,
                launchers=self._launchers,
                live=live,
            )
            return _masked(self._runtime(context.runtime_name or "").execute(context, supervision), given)
        except self._time_limits as error:
            said = f"ended by a time limit of its caller ({type(error).__name__}); what it had printed is lost"
            result = _error(request, "timed_out", said, "timed_out")
        except AttuneTasksError as error:
            result = _error(request, error.code, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a secret
            result = _unexpected(request, error)
        return _masked(result, given)

    def prepare_execution_context(self, request: ExecutionRequest) -> ExecutionContext:
        """Check the request against the action, and fetch what the action declares.

        Raises UnknownActionError, ActionDisabledError, InvalidParametersError, EnvironmentNotAllowedError,
        SecretsUnavailableError or InvalidReferenceError; then no child is started.
        """
        action = self.registry.get(request.action_ref)
        if not action.enabled:
            msg = f"{action.ref} is disabled: `enabled: false` in {action.source}"
            raise ActionDisabledError(msg)
        parameters = action.schema.validate(
            request.parameters, lambda reference: how_to_store(reference, self.settings.secrets)
        )
        env = {"PATH": self.settings.environment.path, **action.env_set, **_allowed_env(action, request.env)}
        timeout = self._timeout(action, request.timeout)
        confinement = self._confinement(action)
        fetched = self.secret_manager.fetch_secrets_for_action(
            action, parameters.secret_refs, lambda records: write_audit(request, action.ref, records)
        )
        legacy = self._legacy_env(action, fetched) if action.legacy_env else {}
        return ExecutionContext(
            execution_id=request.execution_id,
            action_ref=action.ref,
            parameters=parameters.public,
            env=env | legacy,
            legacy_variables=frozenset(legacy),
            secrets=fetched,
            secrets_missing=fetched.missing,
            receipts=fetched.receipts,
            timeout=timeout,
            working_dir=action.working_dir,
            entry_point=action.entry_point,
            code_path=action.entry_path,
            pack_path=action.pack.path,
            runtime_name=action.runtime_name,
            parameter_delivery=action.parameter_delivery,
            parameter_format=action.parameter_format,
            output_format=action.output_format,
            confinement=replace(confinement, single_use=True) if legacy else confinement,
            pack_content=content_of(action.pack.path) if action.pack.preload else "",
        )

    def _confinement(self, action: Action) -> Confinement:
        if action.ref not in self._confinements:
            self._confinements[action.ref] = self._new_confinement(action)
        return self._confinements[action.ref]

    def _new_confinement(self, action: Action) -> Confinement:
        settings = self.settings
        run_as = action.run_as or settings.run_as
        if action.run_as and settings.run_as and action.run_as not in {settings.run_as, *settings.run_as_allow}:
            msg = f"{action.ref} may not run as {action.run_as}: the setting run_as_allow does not list this user"
            raise StartError(msg)
        return Confinement(
            isolation="exec" if "exec" in (action.isolation, settings.isolation) else "fork",
            preload=action.pack.preload,
            limits=action.limits.tightened(Limits(**settings.limits.model_dump())),
            run_as=run_as,
            dumpable=action.dumpable or not settings.launchers.undumpable,
        )

    def _masker(self, context: ExecutionContext) -> Masker:
        masker = Masker(context.secrets, self.settings.masking.style)
        if self.settings.masking.strict and masker.not_masked:
            msg = (
                f"{context.action_ref}: too short or too common to be masked, which the setting masking.strict refuses:"
                f" {', '.join(masker.not_masked)}; store values of 4 characters or more, 6 where they are digits"
            )
            raise SecretNotMaskableError(msg)
        return masker

    def _runtime(self, name: str) -> Runtime:
        if name not in self._runtimes:
            self._runtimes[name] = get_runtime(name, self.settings.runtimes.get(name))
        return self._runtimes[name]

    def _timeout(self, action: Action, asked: float | None) -> float | None:
        own = action.timeout if action.timeout is not None else self.settings.timeout
        if asked is None:
            return own
        if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked > 0:
            msg = f"{action.ref}: the timeout is not a number of seconds above 0"
            raise InvalidParametersError(msg)
        return asked if own is None else min(own, asked)

    def _legacy_env(self, action: Action, secrets: Mapping[str, str]) -> dict[str, str]:
        if not self.settings.secrets.allow_legacy_env:
            logger.warning(
                "%s asks for legacy_env, which the setting secrets.allow_legacy_env does not allow:"
                " it runs without SECRET_ variables",
                action.ref,
            )
            return {}
        logger.warning(
            "%s gets its secrets in its environment, where others can read them: legacy_env is gone in 0.3.0,"
            " see docs/migrations/secret-access-migration.md",
            action.ref,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # said above, for each execution and by name
            return self.secret_manager.prepare_secret_env(secrets)


def _texts_of(request: ExecutionRequest, context: ExecutionContext) -> Texts:
    """Give all that others may read of an execution, for a secret that stands there."""
    texts = Texts()
    texts.add_parameters(context.parameters)
    legacy = context.legacy_variables
    env = {name: value for name, value in context.env.items() if name not in legacy} if legacy else context.env
    texts.add_variables(env)
    texts.add_message(request.carried, request.caller)
    if context.working_dir is not None:
        texts.add("working_dir", str(context.working_dir))
    return texts


class _Given(NamedTuple):
    """What an execution was given of secrets: what masks them, the names of those it goes without, and receipts."""

    masker: Masker
    missing: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()


def _allowed_env(action: Action, env: Mapping[str, str]) -> Mapping[str, str]:
    refused = sorted(set(env) - action.env_allow)
    if refused:
        msg = (
            f"{action.ref} does not let its caller set {', '.join(refused)};"
            f" allowed are: {', '.join(sorted(action.env_allow)) or 'none'} (`env: allow:` in its metadata)"
        )
        raise EnvironmentNotAllowedError(msg)
    wrong = sorted(name for name, value in env.items() if not is_variable_text(value))
    if wrong:
        msg = f"{action.ref}: the variables {', '.join(wrong)} are not text, or hold a NUL or a lone surrogate"
        raise EnvironmentNotAllowedError(msg)
    return env


def _error(request: ExecutionRequest, kind: str, message: str, status: Status = "error") -> ExecutionResult:
    return ExecutionResult.without_child(request.execution_id, request.action_ref, kind, message, status)


def _unexpected(request: ExecutionRequest, error: Exception) -> ExecutionResult:
    """Tell an error by its class and place alone: its text, and the variables in its frames, may hold a secret."""
    said = f"unexpected {type(error).__name__} at {place_of(error)}"
    logger.error(
        "execution %s of %s: %s",
        request.execution_id,
        request.action_ref,
        said,
        extra=about(request.execution_id, request.action_ref, request.task_id),
    )
    return _error(request, "internal_error", said)


def _cancelled(request: ExecutionRequest) -> ExecutionResult:
    return _error(request, "cancelled", NOT_STARTED, "cancelled")


def _masked(result: ExecutionResult, given: _Given) -> ExecutionResult:
    """Mask all that a child or a runtime said, but for output that has been masked at the pipe."""
    masker = given.masker
    return replace(
        result,
        secrets_missing=given.missing,
        receipts=given.receipts,
        stdout=_masked_output(result.stdout, masker, "stdout"),
        stderr=_masked_output(result.stderr, masker, "stderr"),
        result=masker.mask_json(result.result, "result"),
        error={key: _masked_error(text, masker) for key, text in result.error.items()} if result.error else None,
        masked=masker.counts,  # by now
        not_masked=masker.not_masked,
    )


def _masked_output(text: str, masker: Masker, name: str) -> str:
    return str(text) if isinstance(text, Filtered) else masker.mask_text(text, name)


def _masked_error(text: str, masker: Masker) -> str:
    """Mask a text of an error. One that was cut may end in the midst of a secret, whose beginning is then left out."""
    cut = len(text) >= MAX_ERROR_CHARACTERS
    return masker.mask_cut_text(text, "error") if cut else masker.mask_text(text, "error")
