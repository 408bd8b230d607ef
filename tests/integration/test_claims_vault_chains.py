"""Vault is down, stopped, sealed or cut off while chains and chords run: they go on once it is back, or end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, states

from attune_tasks.tasks import run_action
from tests.integration.vault_place import VALUE, VaultWorker, vault_worker
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.vault import StoredVault
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SECONDS = 30.0


@pytest.fixture(scope="module")
def vault_proxy(stored_vault: StoredVault) -> Iterator[TcpProxy]:
    """Stand between the worker and Vault."""
    proxy = TcpProxy(int(stored_vault.url.rpartition(":")[2]))
    yield proxy
    proxy.cut()


@contextmanager
def cut(proxy: TcpProxy) -> Iterator[None]:
    proxy.cut()
    try:
        yield
    finally:
        proxy.mend()


@contextmanager
def down(stored_vault: StoredVault) -> Iterator[None]:
    stored_vault.stop()
    try:
        yield
    finally:
        stored_vault.start()
        stored_vault.unseal()


@contextmanager
def sealed(stored_vault: StoredVault) -> Iterator[None]:
    stored_vault.seal()
    try:
        yield
    finally:
        stored_vault.unseal()


Outage = Callable[[StoredVault], AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {"down": down, "stopped": StoredVault.frozen, "sealed": sealed}
CASES = [(setup, outage) for setup in (("prefork", "retry"), ("threads", "fail")) for outage in (*OUTAGES, "cut off")]
CASES += [(("threads", "retry"), "sealed"), (("prefork", "fail"), "sealed")]


class Flow:
    """A chain and a chord with a step that needs a secret, each begun and held before Vault's outage."""

    def __init__(self, worker: VaultWorker) -> None:
        """Send both, and come back when the first action of each runs."""
        self._worker = worker
        self._marks: dict[str, Path] = {}
        steps: Any = chain(self._step("first", "hold"), self._step("second", "tell"), self._step("third", "hold"))
        body: Any = self._step("body", "hold")
        header = [self._step("part", "hold"), chain(self._step("before", "hold"), self._step("needy", "tell"))]
        self.chain_id: str = steps.apply_async(link_error=self._step("chain-error", "hold")).id
        self.chord_id: str = chord(header, body.on_error(self._step("chord-error", "hold"))).apply_async().id
        for name in ("third", "body", "chain-error", "chord-error"):
            self.release(name)
        for name in ("first", "part", "before"):
            wait_until(lambda each=name: self.runs()[each] == 1, f"{name} runs", SECONDS)  # type: ignore[misc]

    def release(self, name: str) -> None:
        """Let one end that holds."""
        mark = self._marks[name]
        mark.with_name(f"{mark.name}.go").touch()

    def runs(self) -> dict[str, int]:
        """Give how many children each has had."""
        return {name: len(mark.read_bytes()) if mark.exists() else 0 for name, mark in self._marks.items()}

    def state(self, task_id: str) -> str:
        """Give Celery's state."""
        return str(self._worker.client.backend.get_state(task_id))

    def _step(self, name: str, action: str) -> Any:
        mark = self._marks[name] = self._worker.new_mark()
        options = {"task_id": f"00000000-0000-8000-8000-{int(mark.name):012d}"} if action == "tell" else {}
        step: Any = self._worker.client.tasks[run_action.name].si(f"v.{action}", {"mark": str(mark)})
        self.needy = [*getattr(self, "needy", []), *options.values()]
        return step.set(**options)


@pytest.fixture(scope="module")
def setup(
    request: pytest.FixtureRequest,
    stored_vault: StoredVault,
    vault_proxy: TcpProxy,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VaultWorker]:
    vault = stored_vault.vault
    kv = vault.kv()
    vault.put(kv, "app/api", {"key": VALUE})
    settings = {"url": f"http://127.0.0.1:{vault_proxy.port}", "mount": kv, "token": vault.token}
    folder = tmp_path_factory.mktemp("chains-vault")
    actions = {"tell": "app/api#key"}
    pool, policy = request.param
    more = {"on_outage": policy}
    with vault_worker(
        folder, settings, actions, redis=redis_server, pool=pool, seconds=1, more=more, slots=4
    ) as worker:
        yield worker


@pytest.mark.parametrize(("setup", "outage"), CASES, indirect=["setup"])
def test_a_chain_and_a_chord_outlive_an_outage_of_vault_or_end_in_their_errbacks(
    setup: VaultWorker, stored_vault: StoredVault, vault_proxy: TcpProxy, request: pytest.FixtureRequest, outage: str
) -> None:
    _, policy = request.node.callspec.params["setup"]
    flow = Flow(setup)
    wanted = {states.RETRY} if policy == "retry" else {states.FAILURE}
    with cut(vault_proxy) if outage == "cut off" else OUTAGES[outage](stored_vault):
        for name in ("first", "before", "part"):
            flow.release(name)
        wait_until(lambda: {flow.state(each) for each in flow.needy} == wanted, "both have met it", SECONDS)
    runs = dict.fromkeys(("first", "before", "part"), 1)
    goes_on, ends = ("second", "third", "needy", "body"), ("chain-error", "chord-error")
    runs |= dict.fromkeys(goes_on, int(policy == "retry")) | dict.fromkeys(ends, int(policy == "fail"))
    wait_until(lambda: flow.runs() == runs, "all that is to run has run", SECONDS)
    end = states.SUCCESS if policy == "retry" else states.FAILURE
    wait_until(lambda: [flow.state(flow.chain_id), flow.state(flow.chord_id)] == [end, end], "both have ended", SECONDS)
    setup.works("tell")
    assert flow.runs() == runs
