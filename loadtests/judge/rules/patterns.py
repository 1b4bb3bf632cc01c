"""Which ones: all on one dashboard, in one chat, of one worker, every k-th, the last before each pause."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger

from .cases import Cases
from .claims import Certainty, Claim
from .facts import Facts
from .statistics import CHANCE, COVERAGE, LIFT, chance, lift, log_choose
from .words import dashboards, many, ordinal

_LEAST = 5
_QUIET = 1.0  # seconds


class Concentration(NamedTuple):
    """The value of an attribute at which cases are concentrated most."""

    value: int
    rows: Ints  # of the cases, those with this value
    bad: int
    all: int  # of everything that had this value
    lift: float
    chance: float  # that it came about by chance, over all values
    values: int  # how many there are


def concentration(bad: Ints, everything: Ints) -> Concentration | None:
    """Where the cases are, by an attribute of each case and of everything that might have been one; -1: unknown."""
    if not len(bad) or not len(everything):
        return None
    size = int(max(bad.max(), everything.max())) + 1
    if size <= 0:
        return None
    here = np.bincount(bad[bad >= 0], minlength=size)
    exposed = np.maximum(np.bincount(everything[everything >= 0], minlength=size), here)
    values = int((exposed > 0).sum())
    value = int(np.argmax(here))
    total, whole = int(here.sum()), int(exposed.sum())
    if values < 2 or not total:
        return None
    odds = chance(int(here[value]), int(exposed[value]), total, whole) * values
    return Concentration(
        value, np.flatnonzero(bad == value), int(here[value]), int(exposed[value]),
        lift(int(here[value]), int(exposed[value]), total, whole), odds, values,
    )  # fmt: skip


def certainty_of(found: Concentration | None, cases: int) -> Certainty | None:
    """Proven if all cases are there, and that many could not be there by chance; None if nothing is."""
    if found is None or found.bad < _LEAST or found.chance > CHANCE or found.lift < LIFT:
        return None
    if found.bad == cases:
        return "proven"
    return "probable" if found.bad >= COVERAGE * cases else None


def exposed_deliveries(ledger: Ledger) -> Ints:
    """What could have gone wrong: the expected deliveries."""
    return ints(np.flatnonzero(ledger.expected))


@dataclass(frozen=True, slots=True)
class CaseAttribute:
    """Something that deliveries, or messages, have in common, as a number of each; -1: unknown."""

    name: str
    of_message: Callable[[Facts], Ints] | None = None
    of_dashboard: Callable[[Facts], Ints] | None = None
    told: Callable[[Facts, int], str] = lambda _, value: str(value)

    def of(self, facts: Facts, cases: Cases) -> Ints:
        """Of each case."""
        if self.of_message is not None:
            return np.append(self.of_message(facts), -1)[cases.message]
        assert self.of_dashboard is not None
        return np.append(self.of_dashboard(facts), -1)[cases.dashboard]

    def of_everything(self, facts: Facts, cases: Cases) -> Ints:
        """Of everything that might have been a case of this finding."""
        ledger = facts.ledger
        if (cases.delivery < 0).any():
            return ints([]) if self.of_message is None else self.of_message(facts)[ledger.messages.outcome >= 0]
        exposed = exposed_deliveries(ledger)
        if self.of_message is not None:
            return self.of_message(facts)[ledger.deliveries.message[exposed]]
        assert self.of_dashboard is not None
        return self.of_dashboard(facts)[ledger.deliveries.dashboard[exposed]]


def _server_of_dashboard(facts: Facts) -> Ints:
    """The server of each dashboard's connections; -1 if it is unknown, or if there were several."""
    connections, out = facts.ledger.observations.connections, np.full(facts.ledger.deliveries.dashboards, -1, np.int64)
    mine = facts.subscriptions
    server = connections.server[mine.connection]
    out[mine.dashboard] = server
    several = np.zeros(len(out), bool)
    several[mine.dashboard[server != out[mine.dashboard]]] = True
    out[several] = -1
    return out


def server_name(facts: Facts, number: int) -> str:
    """The name that the target gave for this server, or its address."""
    served = facts.ledger.observations.servers[number]
    return served.name or served.address


DASHBOARD = CaseAttribute(
    "dashboard", of_dashboard=lambda facts: np.arange(facts.ledger.deliveries.dashboards),
    told=lambda _, value: f"dashboard {value}",
)  # fmt: skip
CHAT = CaseAttribute(
    "chat", of_message=lambda facts: facts.ledger.messages.chat,
    told=lambda facts, value: f"chat {facts.ledger.chat(value)}",
)  # fmt: skip
WIDGET = CaseAttribute(
    "widget", of_message=lambda facts: facts.ledger.messages.widget, told=lambda _, value: f"widget {value}"
)
TAKEN_BY = CaseAttribute(
    "server of the send", of_message=lambda facts: facts.ledger.messages.server,
    told=lambda facts, value: f"accepted by the server {server_name(facts, value)}",
)  # fmt: skip
CONNECTED_TO = CaseAttribute(
    "server of the dashboard", of_dashboard=_server_of_dashboard,
    told=lambda facts, value: f"dashboards connected to the server {server_name(facts, value)}",
)  # fmt: skip


def one_dashboard(facts: Facts, cases: Cases) -> Claim | None:
    """All, or nearly all, on one dashboard."""
    if (cases.dashboard < 0).any() or (cases.delivery < 0).any():
        return None
    return _one("one_dashboard", DASHBOARD, facts, cases, lambda value: {"dashboard": str(value)})


def one_chat(facts: Facts, cases: Cases) -> Claim | None:
    """All, or nearly all, in one chat."""
    return _one("one_chat", CHAT, facts, cases, lambda value: {"chat": facts.ledger.chat(value)})


def one_whole_chat(facts: Facts, cases: Cases) -> Claim | None:
    """Likewise, and hardly any of this chat is good: then the chat is why, and not that it has every k-th message."""
    found = concentration(CHAT.of(facts, cases), CHAT.of_everything(facts, cases))
    return one_chat(facts, cases) if found is not None and found.bad >= COVERAGE * found.all else None


def _one(
    cause: str, attribute: CaseAttribute, facts: Facts, cases: Cases, words: Callable[[int], dict[str, str]]
) -> Claim | None:
    found = concentration(attribute.of(facts, cases), attribute.of_everything(facts, cases))
    certainty = certainty_of(found, len(cases))
    if found is None or certainty is None:
        return None
    evidence = f"{found.bad:,} of {len(cases):,} there, among {found.all:,}; {found.values} {attribute.name}s in all"
    # A single outage there may have had any reason.
    if found.bad < COVERAGE * found.all and _bursts(facts, cases.only(found.rows)) < _BURSTS:
        certainty = "probable"
    return Claim(cause, found.rows, certainty, words(found.value), (evidence,))


_BURSTS, _APART = 3, 0.5


def _bursts(facts: Facts, cases: Cases) -> int:
    """In how many spans of time the cases are, more than half a second apart."""
    moments = np.sort(facts.ledger.messages.intended[cases.message])
    return 1 + int((np.diff(moments) > _APART).sum())


def one_worker(facts: Facts, cases: Cases) -> Claim | None:
    """All that one server took, or on the dashboards of one, or from one to another; or always the same dashboards."""
    if (cases.delivery < 0).any():
        return _one(
            "one_worker", TAKEN_BY, facts, cases, lambda value: {"relation": f"all {TAKEN_BY.told(facts, value)}"}
        )
    taken, connected = TAKEN_BY.of(facts, cases), CONNECTED_TO.of(facts, cases)
    if (taken >= 0).all() and (connected >= 0).all():
        servers = len(facts.ledger.observations.servers)
        takers, readers = TAKEN_BY.of_everything(facts, cases), CONNECTED_TO.of_everything(facts, cases)
        everything = np.where((takers >= 0) & (readers >= 0), takers * servers + readers, -1)
        if (claim := _by_server(facts, cases, taken * servers + connected, everything, servers)) is not None:
            return claim
    return _groups_of_dashboards(facts, cases, two=True)


def same_dashboards(facts: Facts, cases: Cases) -> Claim | None:
    """Each message is missing on exactly the same dashboards: more than one, and not on all."""
    return None if (cases.delivery < 0).any() else _groups_of_dashboards(facts, cases, two=False)


def _by_server(facts: Facts, cases: Cases, of_case: Ints, everything: Ints, servers: int) -> Claim | None:
    """Pairs of the server that took a message and the server of a dashboard: nearly all of the bad pairs are bad."""
    size = 1 + max(int(everything.max(initial=0)), int(of_case.max(initial=0)))
    bad, exposed = np.bincount(of_case, minlength=size), np.bincount(everything[everything >= 0], minlength=size)
    pairs = np.flatnonzero(bad)
    healthy = np.flatnonzero((exposed > 0) & (bad == 0))
    # Where each message or dashboard has a server for itself, all that is bad is on "one server".
    if not len(healthy) or bad.sum() < _LEAST or (exposed[pairs] < _EXPOSED).any():
        return None
    odds = chance(int(bad.sum()), int(exposed[pairs].sum()), int(bad.sum()), int(exposed.sum())) * (exposed > 0).sum()
    if odds > CHANCE or (bad[pairs] < COVERAGE * exposed[pairs]).any():
        return None
    every = [*pairs.tolist(), *healthy.tolist()]
    told = [
        f"{server_name(facts, pair // servers)} → {server_name(facts, pair % servers)}: {bad[pair]:,} of "
        f"{exposed[pair]:,} deliveries"
        for pair in every[:_PAIRS]
    ]
    senders, readers = {int(pair) // servers for pair in pairs}, {int(pair) % servers for pair in pairs}
    taken = " and ".join(server_name(facts, number) for number in sorted(senders))
    shown = " and ".join(server_name(facts, number) for number in sorted(readers))
    if len(pairs) > 1 and all(pair // servers != pair % servers for pair in pairs.tolist()):
        relation = "they reached only the dashboards of the server that took them"
    else:
        relation = f"what {taken} took did not reach the dashboards of {shown}"
    return Claim("one_worker", np.arange(len(cases)), words={"relation": relation}, evidence=tuple(told))


def _groups_of_dashboards(facts: Facts, cases: Cases, *, two: bool) -> Claim | None:
    """Messages that are missing on exactly the same dashboards: more than one, not on all. With `two`, there must be
    others, too, that are missing on all but these.
    """
    ledger = facts.ledger
    # A random number for each dashboard: equal sums are equal sets.
    numbers = np.random.default_rng(1).integers(1, 1 << 62, ledger.deliveries.dashboards, dtype=np.uint64)
    order = np.argsort(cases.message, kind="stable")
    rows, first, counts = np.unique(cases.message[order], return_index=True, return_counts=True)
    if len(rows) < _LEAST:
        return None
    missing = np.add.reduceat(numbers[cases.dashboard[order]], first)
    mine = ledger.deliveries.of(rows)
    due = np.where(ledger.expected[mine], numbers[ledger.deliveries.dashboard[mine]], np.uint64(0))
    edges = np.concatenate([[0], np.cumsum(ledger.deliveries.counts[rows])[:-1]])
    audience, size = np.add.reduceat(due, edges), np.add.reduceat(ints(ledger.expected[mine]), edges)
    part = (counts > 1) & (counts < size)
    sets, how_many = np.unique(missing[part], return_counts=True)
    if not len(sets):
        return None
    usual = sets[np.argmax(how_many)]
    same, rest = part & (missing == usual), part & (missing == audience - usual)
    if same.sum() < _LEAST or (two and rest.sum() < _LEAST):
        return None
    group = cases.dashboard[order][first[np.argmax(same)] :][: counts[np.argmax(same)]]
    told = f"{many(int(same.sum()), 'message')}, each missing on {dashboards(group)} and on no other"
    if not two:
        chosen = np.flatnonzero(np.isin(cases.message, rows[same]))
        certainty: Certainty = "proven" if _bursts(facts, cases.only(chosen)) >= _BURSTS else "probable"
        return Claim("same_dashboards", chosen, certainty, words={"dashboards": dashboards(group)}, evidence=(told,))
    others = f"{many(int(rest.sum()), 'message')}, each missing on all the others and on none of these"
    relation = f"there are two groups of dashboards, one of {len(group)}, and each message reached only one group"
    chosen = np.flatnonzero(np.isin(cases.message, rows[same | rest]))
    return Claim("one_worker", chosen, words={"relation": relation}, evidence=(told, others))


_PAIRS = 9  # of servers that are listed
_EXPOSED = 20
"""A server says something if at least so many deliveries went through it."""


class _Every(NamedTuple):
    k: int
    told: str


def every_kth(facts: Facts, cases: Cases) -> Claim | None:
    """Their numbers have the same remainder, and no other message with that remainder is good."""
    if (cases.message < 0).any():
        return None
    found = every(facts, cases)
    if found is None:
        return None
    words = {"nth": ordinal(found.k), "k": str(found.k)}
    return Claim("every_kth", np.arange(len(cases)), words=words, evidence=(found.told,))


def every(facts: Facts, cases: Cases) -> _Every | None:
    """Which remainder the messages' numbers have, by one of several ways to count; None if there are exceptions."""
    messages = facts.ledger.messages
    bad = np.zeros(len(messages), bool)
    bad[cases.message] = True
    rows = np.arange(len(messages))
    accepted = rows[messages.accepted]
    if _everything_of(messages.widget, bad, messages.accepted):
        return None  # with a regular schedule, all messages of one sender are every k-th one
    ways = {
        "as they were sent": rows[np.argsort(messages.sent, kind="stable")],
        "as they were sent, of the accepted ones": facts.order,
        "as they were accepted": accepted[np.argsort(messages.done[accepted], kind="stable")],
    }
    known = accepted[messages.message_id[accepted] >= 0]
    if len(known) == len(accepted):
        ways["by their ids"] = accepted[np.argsort(messages.message_id[accepted], kind="stable")]
    for name, order in ways.items():
        k = _step(np.flatnonzero(bad[order]), len(order))
        if k is not None and _by_chance(int(bad[order].sum()), len(order), k * len(ways)) <= CHANCE:
            return _Every(k, f"{many(int(bad.sum()), 'message')}, counted {name}, and no exception")
    return None


def _everything_of(group: Ints, bad: Bools, among: Bools) -> bool:
    """Whether the bad ones are just all of some groups."""
    groups = np.unique(group[bad])
    return bool(bad[among & np.isin(group, groups)].all())


def _by_chance(bad: int, count: int, patterns: int) -> float:
    """How likely it is that so many of `count` messages, chosen at random, make one of so many patterns."""
    return patterns * math.exp(-log_choose(count, bad))


def _step(places: Ints, count: int) -> int | None:
    """The distance of all places, if it is the same, and none is missing before the first or after the last."""
    if len(places) < _LEAST:
        return None
    step = int(places[1] - places[0])
    complete = places[0] < step and places[-1] + step >= count
    return step if step >= 2 and complete and (np.diff(places) == step).all() else None


def last_before_quiet(facts: Facts, cases: Cases) -> Claim | None:
    """Each is the last message before a pause of more than a second, and the last before each pause is among them."""
    if (cases.message < 0).any():
        return None
    before = _before_quiet(facts)
    bad, counts = np.unique(cases.message, return_counts=True)
    due = facts.ledger.deliveries.sum(facts.ledger.expected)[bad]
    if (cases.delivery >= 0).all() and (counts < due).any():
        return None
    last = np.flatnonzero(before)
    usual = len(facts.order) - len(last)
    if len(last) < 2 or usual < _LEAST * len(last) or len(bad) != len(last) or (bad != last).any():
        return None
    evidence = f"{many(len(last), 'pause')}, and the last message before each; none of the {usual:,} other messages"
    certain = _by_chance(len(bad), len(facts.order), 1) <= CHANCE
    return Claim("last_before_quiet", np.arange(len(cases)), "proven" if certain else "probable", evidence=(evidence,))


def _before_quiet(facts: Facts) -> Bools:
    messages = facts.ledger.messages
    out = np.zeros(len(messages), bool)
    order = facts.order
    out[order[np.append(np.diff(messages.sent[order]) > _QUIET, True)]] = True
    return out


_ORDERED = ("every_kth", "last_before_quiet")


def _several(attribute: CaseAttribute, facts: Facts) -> bool:
    """Whether there are others than one."""
    if attribute is DASHBOARD:
        return facts.ledger.deliveries.dashboards > 1
    chats = facts.ledger.messages.chat
    return bool(len(chats)) and bool((chats != chats[0]).any())


def in_common(facts: Facts, cases: Cases, claim: Claim) -> tuple[str, ...]:
    """What else the cases of a claim have in common: every k-th message, one dashboard, one chat."""
    mine = cases.only(claim.rows)
    if len(mine) < _LEAST:
        return ()
    found: list[str] = []
    if claim.cause != "every_kth" and (mine.message >= 0).all() and (regular := every(facts, mine)) is not None:
        found.append(f"every {ordinal(regular.k)} message")
    # With a regular schedule, every k-th message may well be of the same chat.
    for attribute, known in ((DASHBOARD, mine.dashboard), (CHAT, mine.message)):
        if ((found or claim.cause in _ORDERED) and attribute is CHAT) or (
            attribute is DASHBOARD and "dashboards" in claim.words
        ):
            continue
        if (known >= 0).all() and claim.cause != f"one_{attribute.name}":
            values = attribute.of(facts, mine)
            if values[0] >= 0 and (values == values[0]).all() and _several(attribute, facts):
                place = attribute.told(facts, int(values[0]))
                found.append(f"all on {place}" if attribute is DASHBOARD else f"all in {place}")
    return tuple(found)
