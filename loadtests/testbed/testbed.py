"""Sets up a testbed: the reference backend and its broker, the fault proxies, and the target's process.

Set up before any load and torn down at the end, whatever happens. If a fault needs something that is missing, the run
is refused.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.target_processes import GivenProcess, OwnProcess, alive, listens, tree, watchable
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from chatswarm.loadtests.faults.undo_log import UndoLog
from chatswarm.loadtests.net.address import Address, join_host_port, parse_address
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.push import KEY
from chatswarm.loadtests.protocols.secrets import secret_of, token_of
from chatswarm.loadtests.scenario.fault_kinds import NET_PLACES
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.children import Child, free_port, python

from .messages import TestbedOptions
from .reference_chat import Broker, ReferenceBackend

_GRACE = 10.0  # seconds to end after SIGTERM


class CannotSetUpError(Exception):
    """There is no testbed: wrong usage, or an unreachable target. `problems` holds all reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Testbed:
    """Everything around the swarm in one run. `say` shows the user what is going on.

    `set_up` raises CannotSetUpError. Call `close` in any case: it tears down whatever `set_up` has started.
    """

    scenario: Scenario
    folder: Path
    options: TestbedOptions
    seed: int  # of the fault proxy's random draws
    listen: str  # the address on which proxies listen, for workers on other hosts; empty: loopback only
    say: Callable[[str], None]
    context: FaultContext = field(init=False)
    via: Mapping[str, str] = field(init=False, default_factory=dict)
    """Place on the network → address of the fault proxy there, for the swarm."""
    _proxy: OwnProcess | None = field(init=False, default=None)
    _cleanup: ExitStack = field(init=False, default_factory=ExitStack)

    def close(self) -> None:
        self._cleanup.close()

    @property
    def base_url(self) -> str:
        return self.context.target

    @property
    def watchable(self) -> bool:
        """Whether the target's processes are known."""
        return watchable(self.context.processes.values())

    def set_up(self) -> None:
        with _refusing():
            self._make_context()
            self._start_toxiproxy()
            if self.options.base_url is None:
                self._start_reference()
            else:
                self._adopt_target(self.options.base_url)
            if problem := http_problem(self.base_url):
                raise CannotSetUpError([f"--target: {problem}"])
            self._put_proxies_before(parse_address(self.base_url))
        self._refuse_unfit_faults()

    def check(self) -> None:
        """Raises what `set_up` would raise for a given target, as far as that can be known without setting up."""
        with _refusing():
            self._make_context()
            assert self.options.base_url is not None, "the reference chat is not checked but started"
            self._adopt_target(self.options.base_url)
            if self._places() and self.options.toxiproxy is not None:
                self._connect_toxiproxy(self.options.toxiproxy)
        self._refuse_unfit_faults()

    def _make_context(self) -> None:
        undo_log = UndoLog(self.folder / "healer.log")
        self._cleanup.callback(undo_log.close)
        protocol = self.options.protocol
        self.context = FaultContext(
            self.options.base_url or "", protocol, self.folder, undo_log, protocol_text=find_protocol(protocol).text
        )
        self.context.token = token_of(os.environ)

    def _refuse_unfit_faults(self) -> None:
        """Refuses faults that cannot be injected into this target, before any load."""
        if not self.scenario.faults:
            return
        from chatswarm.loadtests.faults.kinds import KINDS

        reasons = [(plan.name, KINDS[plan.kind].unfit(plan, self.context)) for plan in self.scenario.faults]
        if problems := [f"fault {name}: {reason}" for name, reason in reasons if reason]:
            raise CannotSetUpError(problems)

    # The target.

    def _adopt_target(self, base_url: str) -> None:
        """Takes the process of --pid and --restart-command as the target's."""
        options, address = self.options, parse_address(base_url)
        if options.pid is not None and (problem := _not_a_target(options.pid)):
            raise CannotSetUpError([f"--pid: expected the process of the target, got {options.pid}, {problem}"])
        if options.pid is not None or options.restart_command is not None:
            self.context.processes["target"] = GivenProcess(
                options.pid,
                options.restart_command,
                address.port,
                lambda: http_problem(self.base_url, 1.0),
                self.folder / "restart.log",
            )

    def _start_reference(self) -> None:
        """Starts the reference backend with the flags in the scenario's `[backend]`."""
        flags = dict(self.scenario.backend)
        store = Path(self._cleanup.enter_context(_scratch()))
        environment = {}
        if flags.pop("broker", False):
            environment["CHATSWARM_BUS"] = self._start_broker()
        if flags.pop("token", False):
            assert self.context.token is not None, "the swarm has it as well, from whoever started both"
            (store / "tokens").write_text(self.context.token + "\n", encoding="utf-8")
            flags["dashboard_token_file"] = str(store / "tokens")
        if flags.get("push") and (key := secret_of(os.environ, KEY)) is not None:
            environment[KEY] = key
        self.context.database = store / "chat.db"
        backend = ReferenceBackend(
            log=self.folder / "backend.log",
            database=self.context.database,
            port=free_port(),
            flags=flags,
            environment=environment,
        )
        self._cleanup.callback(backend.stop)
        self.context.processes["target"] = backend
        self.context.target = backend.base_url
        self.say(f"starting the reference backend at {self.base_url}")
        backend.wait()

    def _start_broker(self) -> str:
        """Starts the backend's broker. Returns its URL, which goes through a proxy if a fault targets the broker."""
        broker = Broker(self.folder / "broker.log", free_port(), self.context.undo_log)
        self._cleanup.callback(broker.stop)
        self.context.processes["broker"] = broker
        broker.wait()
        through = self._put_proxy("broker", broker.address) if "broker" in self._places() else broker.address
        return f"redis://{through}"

    # The proxies.

    def _places(self) -> set[str]:
        """The places on the network that the scenario's faults affect."""
        if not self.scenario.faults:
            return set()
        from chatswarm.loadtests.faults.kinds import KINDS
        from chatswarm.loadtests.faults.network_faults import NetworkFault

        plans = [plan for plan in self.scenario.faults if issubclass(KINDS[plan.kind], NetworkFault)]
        return {place for plan in plans for place in NET_PLACES[plan.on]}

    def _start_toxiproxy(self) -> None:
        if not self._places():
            return
        url = self.options.toxiproxy
        if url is None:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            command = python("chatswarm.loadtests.faults.proxy", "--api", f"127.0.0.1:{port}", "--seed", str(self.seed))
            proxy = OwnProcess(
                "the fault proxy",
                lambda: Child(command, self.folder / "proxy.log"),
                lambda: http_problem(f"{url}/version", 1.0),
                _GRACE,
            )
            self._cleanup.callback(proxy.stop)
            proxy.wait()
            self._proxy = proxy
        self._connect_toxiproxy(url)

    def _connect_toxiproxy(self, url: str) -> None:
        try:
            self.context.toxiproxy = Toxiproxy(url)
        except FaultError as error:
            raise CannotSetUpError([f"--toxiproxy: {error}"]) from None

    def _put_proxies_before(self, address: Address) -> None:
        """Creates a proxy only at the places that a fault affects, so that other traffic is not slowed."""
        places = sorted(self._places() - {"broker"})
        self.via = {place: self._put_proxy(place, address.endpoint) for place in places}
        for place, proxy in self.via.items():
            if problem := http_problem(self.base_url, via=proxy):
                raise CannotSetUpError([f"fault proxy for {place}: expected it to reach the target, got: {problem}"])

    def _put_proxy(self, place: str, upstream: str) -> str:
        """Creates a proxy and returns its address."""
        api = self.context.toxiproxy
        assert api is not None, "started if any fault has a place on the network"
        name = f"chatswarm-{uuid.uuid4().hex[:8]}-{place}"
        if self._proxy is None:
            # A Toxiproxy that is not ours outlives this run; our proxies in it must not.
            self._cleanup.callback(
                self._delete_proxy, self.context.undo_log.add("request", "DELETE", api.proxy_url(name))
            )
        host, port = api.create(name, upstream, listen=self.listen)
        self.context.proxies = {**self.context.proxies, place: name}
        return join_host_port(host, port)

    def _delete_proxy(self, undo: int) -> None:
        try:
            self.context.undo_log.undo(undo)
        except OSError as error:
            # It was never created, someone else has deleted it, or Toxiproxy is gone.
            self.say(f"a proxy at {self.options.toxiproxy} could not be deleted: {error}")

    def broken(self) -> str | None:
        """Why nothing that was measured can be trusted; None if all is well."""
        if self._proxy is not None and not self._proxy.child.running:
            return f"the fault proxy ended by itself, and with it all connections:\n{self._proxy.child.log_tail()}"
        if self._proxy is not None or self.context.toxiproxy is None:
            return None
        try:
            for name in self.context.proxies.values():
                self.context.toxiproxy.toxics(name)
        except FaultError as error:
            return f"the proxy that all connections went through is gone: {error}"
        return None


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever cannot be set up is a refusal."""
    try:
        yield
    except (FaultError, OSError, ValueError) as error:
        raise CannotSetUpError([str(error)]) from None


def _scratch() -> tempfile.TemporaryDirectory[str]:
    # A folder that cannot be removed must not cost the verdict.
    return tempfile.TemporaryDirectory(prefix="chatswarm-", ignore_cleanup_errors=True)


def _not_a_target(pid: int) -> str | None:
    """Why a process cannot be the target; None if it can."""
    if not alive(pid):
        return "which is none"
    if os.getpid() in tree(pid):
        return "which started chatswarm itself"
    return None if listens(pid) else "which listens nowhere"
