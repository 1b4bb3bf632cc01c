"""What checklists are made of: one step after the other, noted as it ends, and a diagnosis at the first that fails."""

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chatswarm.loadtests.net.dialing import Dialer, proxy_note
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Request, Unreadable, User
from chatswarm.loadtests.protocols.variables import OutOfScopeError, blanked
from chatswarm.loadtests.system.text import one_line

from .causes import Diagnosis
from .described_causes import cannot_be_made
from .diagnosis import GuideProblem
from .file_places import places_of
from .http import ProbeError, excerpt
from .report import CheckReport, DescribedReport, Step
from .symptoms import Failure, RoomStep, StepName, Symptoms
from .transcript import Transcript, Witness


@dataclass(slots=True)
class Testing:
    """What a step tests at the moment, and what it has seen."""

    what: str
    seen: str = ""


class StepFailed(Exception):
    """A step has failed. `found`: why, if the step knows itself; otherwise it follows from the symptoms."""

    def __init__(self, symptoms: Symptoms, seconds: float, found: Diagnosis | None = None) -> None:
        self.symptoms = symptoms
        self.seconds = seconds
        self.found = found


class WrongError(Exception):
    """The chat did something wrong. `brief`: in a few words, for the step's line."""

    def __init__(self, brief: str, found: Diagnosis) -> None:
        self.brief = brief
        self.found = found


class Walk(ABC):
    """One walk over a checklist's steps."""

    def __init__(
        self,
        protocol: ChatProtocol,
        base_url: str,
        dialer: Dialer,
        origin: str | None,
        on_step: Callable[[Step], None],
        names: Sequence[StepName | RoomStep],
    ) -> None:
        self.protocol = protocol
        self.base_url = base_url
        self.dialer = dialer
        self.address = dialer.address
        self.origin = origin
        self.accepted_origin: str | None = None
        self.with_token = False
        self.names = names
        self.steps: list[Step] = []
        self.users: list[User] = []
        self.notes: list[str] = []
        self.transcript = Transcript()
        self.began = time.monotonic()
        self._on_step = on_step

    @abstractmethod
    def walk(self) -> None:
        """Makes the steps in order. Raises StepFailed at the first that fails."""

    @abstractmethod
    def brief(self, failed: StepFailed) -> str:
        """What was seen of a failed step, in a few words for its line."""

    @abstractmethod
    def diagnose(self, failed: StepFailed) -> GuideProblem:
        """What is wrong, and what to do."""

    @abstractmethod
    def close(self) -> None:
        """Closes all connections."""

    @abstractmethod
    def latency(self) -> float | None:
        """The update latency of the message, if it was shown as it should be."""

    @abstractmethod
    def peers(self) -> dict[str, set[str]]:
        """The IP addresses that were used, by who used them."""

    def run(self) -> CheckReport:
        """Walks up to the first step that fails. Raises nothing, whatever the chat does."""
        problem = None
        try:
            self.walk()
        except StepFailed as failed:
            problem = self._without_secrets(self.diagnose(failed))
            self.note(Step(failed.symptoms.broken, False, failed.seconds, self.brief(failed)))
            for name in self.names[len(self.steps) :]:
                self.note(Step(name, None, None, "not reached"))
        finally:
            seconds = time.monotonic() - self.began
            self.close()
        notes = [*self._notes(), *map(self.blanked, self.notes)]
        found = (self.base_url, problem is None, seconds, self.latency(), self.steps, problem, notes)
        if (places := places_of(self.protocol)) is None:
            return CheckReport(*found)
        return DescribedReport(*found, self.transcript.entries(self.blanked), places.not_seen(self.transcript.met))

    def witness(self, who: str) -> Witness:
        """Notes what a user says and hears."""
        return Witness(self.transcript, who)

    def note(self, step: Step) -> None:
        """The step has ended."""
        step = Step(step.name, step.ok, step.seconds, self.blanked(step.seen))
        self.steps.append(step)
        self._on_step(step)

    @contextlib.contextmanager
    def step(self, name: StepName | RoomStep, what: str) -> Iterator[Testing]:
        """One step. Its body says what it tests, where that changes, and what it has seen."""
        began, testing = time.monotonic(), Testing(what)
        try:
            yield testing
        except (ProbeError, Unreadable, WrongError, OutOfScopeError, NotImplementedError, ValueError) as caught:
            error = caught if isinstance(caught, (ProbeError, Unreadable, WrongError)) else _unfillable(caught)
            seconds = time.monotonic() - began
            symptoms = self.symptoms(name, testing.what, error, seconds)
            raise StepFailed(symptoms, seconds, error.found if isinstance(error, WrongError) else None) from caught
        self.note(Step(name, True, time.monotonic() - began, testing.seen))

    def symptoms(
        self, broken: StepName | RoomStep, what: str, error: ProbeError | Unreadable | WrongError | None, waited: float
    ) -> Symptoms:
        """The symptoms of a step that failed with this error."""
        symptoms = Symptoms(broken, what=what, waited=waited)
        match error:
            case ProbeError():
                symptoms.failure, symptoms.status, symptoms.detail = error.failure, error.status, error.detail
                symptoms.retry_after, symptoms.limit = error.retry_after, error.limit
            case Unreadable():
                symptoms.failure, symptoms.detail = Failure.UNREADABLE, excerpt(str(error))
            case WrongError():
                symptoms.detail = error.brief
        symptoms.with_token = self.with_token
        symptoms.origin, symptoms.accepted_origin = self.origin, self.accepted_origin
        symptoms.proxy_note = proxy_note(self.address.secure, os.environ)
        return symptoms

    def blanked(self, text: str) -> str:
        """The text without the secrets that are known of the users."""
        for user in self.users:
            text = user.variables.blanked(text)
        return blanked(text, self.further_secrets())

    def further_secrets(self) -> list[str]:
        """What else may be secret: the values of cookies."""
        return []

    def _without_secrets(self, problem: GuideProblem) -> GuideProblem:
        causes, remedies = ([self.blanked(text) for text in texts] for texts in (problem.causes, problem.remedies))
        return GuideProblem(problem.title, self.blanked(problem.seen), causes, remedies, problem.here)

    def _notes(self) -> list[str]:
        """Which of several addresses were used or skipped."""
        host = self.address.host
        notes = [f"{address} of {host} was skipped: {why}" for address, why in self.dialer.skipped.items()]
        users = self.peers()
        if len(set[str]().union(*users.values())) > 1:
            where = ", ".join(f"{user} to {' and '.join(sorted(peers))}" for user, peers in users.items() if peers)
            notes.append(f"{host} has several addresses: {where}")
        return notes


def _unfillable(error: Exception) -> WrongError:
    """The protocol could not make what it had to send."""
    said = one_line(str(error))
    return WrongError(said, cannot_be_made(said))


def request_line(request: Request) -> str:
    """A request, for people. Its query may contain a secret."""
    return f"{request.method} {excerpt(request.path.partition('?')[0], 100)}"


def short(name: str) -> str:
    """The name of a chat or room, for people."""
    shown = one_line(name)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def redirect_note(redirected: str) -> str:
    """That a request was redirected, to append to what was seen."""
    return f", {redirected}" if redirected else ""
