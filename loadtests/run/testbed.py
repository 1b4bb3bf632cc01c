"""What stands around the swarm in a run: the reference backend and its broker, the fault proxies, the target's process.

Set up before any load, and taken down at its end, whatever happens. What the faults need and is not there is said.
"""

import os
import secrets
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.faults.network_faults import NetworkFault
from chatswarm.loadtests.faults.target_processes import GivenProcess, Managed, OwnProcess, alive, listens, tree
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from chatswarm.loadtests.faults.undo_log import UndoLog
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.reachability import unanswered
from chatswarm.loadtests.protocols import TOKEN, token_of
from chatswarm.loadtests.scenario.fault_kinds import NET_PLACES
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.children import Child, free_port, python

from .reference_chat import Broker, ReferenceBackend

_GRACE = 10.0  # seconds to end after SIGTERM


class CannotRunError(Exception):
    """The run did not begin: usage, or a target that cannot be reached. `problems` holds all reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class TestbedOptions:
    """What the command line says of the target. `base_url` None: the reference backend, started for this run."""

    base_url: str | None = None
    protocol: str = "reference"
    pid: int | None = None
    restart_command: str | None = None
    toxiproxy: str | None = None  # the API of one that runs already
    origin: str | None = None  # the Origin of every request and handshake

    @property
    def flags(self) -> list[str]:
        """The same, as flags of `chatswarm run`."""
        given = {
            "--target": self.base_url,
            "--protocol": self.protocol,
            "--pid": self.pid,
            "--restart-command": self.restart_command,
            "--toxiproxy": self.toxiproxy,
            "--origin": self.origin,
        }
        return [word for flag, value in given.items() if value is not None for word in (flag, str(value))]


@dataclass
class Testbed:
    """`set_up` raises CannotRunError; `close`, to be called in any case, puts away what there is by then. `say` tells
    people what is being done.
    """

    scenario: Scenario
    folder: Path
    given: TestbedOptions
    seed: int  # of what the proxy draws by lot
    say: Callable[[str], None]
    base_url: str = field(init=False, default="")
    world: FaultContext = field(init=False)
    via: Mapping[str, str] = field(init=False, default_factory=dict)
    """Place on the net → address of the fault proxy there, for the swarm."""
    _proxy: OwnProcess | None = field(init=False, default=None)
    _cleanup: ExitStack = field(init=False, default_factory=ExitStack)

    def close(self) -> None:
        self._cleanup.close()

    def set_up(self) -> None:
        pledges = UndoLog(self.folder / "healer.log")
        self._cleanup.callback(pledges.close)
        self.world = FaultContext(self.given.base_url or "", self.given.protocol, self.folder, pledges)
        self.world.token = token_of(os.environ)
        processes: dict[str, Managed] = {}
        self.world.processes = processes
        try:
            self._start_toxiproxy()
            if self.given.base_url is None:
                self._start_reference(processes)
            else:
                self.base_url = self.given.base_url
                self._take_given(processes)
            address = parse_address(self.base_url)
            self.world.target = self.base_url
            if problem := unanswered(self.base_url):
                raise CannotRunError([f"--target: {problem}"])
            self._put_proxies_before(address)
        except (FaultError, OSError, ValueError) as error:
            raise CannotRunError([str(error)]) from None
        self._refuse_unfit()

    def _refuse_unfit(self) -> None:
        """What cannot be done to this target is said before any load."""
        told = [(plan.name, KINDS[plan.kind].unfit(plan, self.world)) for plan in self.scenario.faults]
        if problems := [f"fault {name}: {problem}" for name, problem in told if problem]:
            raise CannotRunError(problems)

    # The target.

    def _take_given(self, processes: dict[str, Managed]) -> None:
        given, address = self.given, parse_address(self.base_url)
        if given.pid is not None and (problem := _no_target(given.pid)):
            raise CannotRunError([f"--pid: expected the process of the target, got {given.pid}, {problem}"])
        if given.pid is not None or given.restart_command is not None:
            processes["target"] = GivenProcess(
                given.pid,
                given.restart_command,
                address.port,
                lambda: unanswered(self.base_url, 1.0),
                self.folder / "restart.log",
            )

    def _start_reference(self, processes: dict[str, Managed]) -> None:
        """The reference backend, with the flags that the scenario has for it."""
        flags = dict(self.scenario.backend)
        store = Path(self._cleanup.enter_context(_scratch()))
        environment = {}
        if flags.pop("broker", False):
            environment["CHATSWARM_BUS"] = self._start_broker(processes)
        if flags.pop("token", False):
            self.world.token = secrets.token_urlsafe(24)
            os.environ[TOKEN] = self.world.token
            self._cleanup.callback(os.environ.pop, TOKEN, None)
            (store / "tokens").write_text(self.world.token + "\n", encoding="utf-8")
            flags["dashboard_token_file"] = str(store / "tokens")
        self.world.database = store / "chat.db"
        backend = ReferenceBackend(
            self.folder / "backend.log", self.world.database, free_port(), flags, environment
        )  # fmt: skip
        self._cleanup.callback(backend.stop)
        processes["target"] = backend
        self.base_url = backend.base_url
        self.say(f"starting the reference backend at {self.base_url}")
        backend.wait()

    def _start_broker(self, processes: dict[str, Managed]) -> str:
        """A broker for the reference backend. Returns its URL, which leads through a proxy where a fault is on it."""
        broker = Broker(self.folder / "broker.log", free_port(), self.world.pledges)
        self._cleanup.callback(broker.stop)
        processes["broker"] = broker
        broker.wait()
        through = self._put_proxy("broker", broker.address) if "broker" in self._places() else broker.address
        return f"redis://{through}"

    # The proxies.

    def _places(self) -> set[str]:
        """Where on the net faults will strike."""
        plans = [plan for plan in self.scenario.faults if issubclass(KINDS[plan.kind], NetworkFault)]
        return {place for plan in plans for place in NET_PLACES[plan.on]}

    def _start_toxiproxy(self) -> None:
        if not self._places():
            return
        url = self.given.toxiproxy
        if url is None:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            command = python("chatswarm.loadtests.faults.proxy", "--api", f"127.0.0.1:{port}", "--seed", str(self.seed))
            proxy = OwnProcess(
                "the fault proxy",
                lambda: Child(command, self.folder / "proxy.log"),
                lambda: unanswered(f"{url}/version", 1.0),
                _GRACE,
            )
            self._cleanup.callback(proxy.stop)
            proxy.wait()
            self._proxy = proxy
        try:
            self.world.toxiproxy = Toxiproxy(url)
        except FaultError as error:
            raise CannotRunError([f"--toxiproxy: {error}"]) from None

    def _put_proxies_before(self, address: Address) -> None:
        """One at each place where faults will strike, so that the others cost nothing."""
        places = sorted(self._places() - {"broker"})
        self.via = {place: self._put_proxy(place, address.endpoint) for place in places}
        for place, proxy in self.via.items():
            if problem := unanswered(self.base_url, via=proxy):
                raise CannotRunError([f"fault proxy for {place}: expected it to reach the target, got: {problem}"])

    def _put_proxy(self, place: str, upstream: str) -> str:
        """Returns its address."""
        api = self.world.toxiproxy
        assert api is not None, "started where there is such a place"
        name = f"chatswarm-{uuid.uuid4().hex[:8]}-{place}"
        if self._proxy is None:
            # Somebody's Toxiproxy goes on after this run: our proxies in it must not.
            self._cleanup.callback(
                self._delete_proxy, self.world.pledges.make("request", "DELETE", api.proxy_url(name))
            )
        host, port = api.create(name, upstream)
        self.world.proxies = {**self.world.proxies, place: name}
        return f"{host}:{port}"

    def _delete_proxy(self, pledge: int) -> None:
        try:
            self.world.pledges.redeem(pledge)
        except OSError as error:
            # It could not be made, or somebody else has deleted it, or there is no Toxiproxy any more.
            self.say(f"a proxy at {self.given.toxiproxy} could not be deleted: {error}")

    def broken(self) -> str | None:
        """Why nothing that was measured can be trusted; None if nothing speaks against it."""
        if self._proxy is not None and not self._proxy.child.running:
            return f"the fault proxy ended by itself, and with it all connections:\n{self._proxy.child.last_words()}"
        if self._proxy is not None or self.world.toxiproxy is None:
            return None
        try:
            for name in self.world.proxies.values():
                self.world.toxiproxy.toxics(name)
        except FaultError as error:
            return f"the proxy that all connections went through is not there any more: {error}"
        return None


def _scratch() -> tempfile.TemporaryDirectory[str]:
    # That it cannot be removed must not cost the verdict.
    return tempfile.TemporaryDirectory(prefix="chatswarm-", ignore_cleanup_errors=True)


def _no_target(pid: int) -> str | None:
    """Why a process cannot be the target; None if it may be."""
    if not alive(pid):
        return "which is none"
    if os.getpid() in tree(pid):
        return "which started chatswarm itself"
    return None if listens(pid) else "which listens nowhere"
