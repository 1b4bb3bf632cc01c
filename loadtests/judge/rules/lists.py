"""Deliveries that a list lacks: it fails, is cut, comes from a cache, grows, or nobody asked for it again."""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints
from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .claims import Claim
from .facts import Facts
from .stages import stages_of
from .statistics import correlation
from .words import dashboards, many


def list_fails(facts: Facts, cases: Cases) -> Claim | None:
    """All refetches that began after it was accepted failed."""
    if facts.ledger.by_frames:
        return None
    refetches, accepted = facts.refetches, moments_of(facts.ledger, cases).accepted
    begin, end = refetches.since(cases.dashboard, accepted), refetches.end(cases.dashboard)
    failed = (end > begin) & (reads_since(facts, cases, accepted) == 0) & (np.append(refetches.status, -1)[begin] >= 0)
    rows = np.flatnonzero(failed)
    if not len(rows):
        return None
    status, counts = np.unique(refetches.status[np.unique(begin[rows])], return_counts=True)
    names = ", ".join("no answer" if not code else f"status {code}" for code in status[np.argsort(-counts)].tolist())
    first = begin[rows[0]]
    witness = f"the refetch at {facts.seconds(refetches.started[first])} failed ({names}), and so did all after it"
    tried = many(int((end - begin)[rows].max()), "refetch")
    return Claim(
        "list_fails", rows, words={"statuses": names}, witness=witness, evidence=(f"up to {tried} each, none good",)
    )


_LEAST_WINDOW, _ROUND = 10, 5


def list_window(facts: Facts, cases: Cases) -> Claim | None:
    """No list after it has its chat, and all lists hold equally many chats, fewer than there are."""
    ledger, lists = facts.ledger, facts.ledger.lists
    if ledger.by_frames or not lists.versions:
        return None
    listed = lists.chats_listed()
    refetches, accepted = facts.refetches, moments_of(ledger, cases).accepted
    most = int(listed.max())
    chat = ledger.messages.chat[cases.message]
    used = np.unique(ledger.messages.chat[ledger.messages.accepted & (ledger.messages.chat >= 0)])
    # Any filter hides chats from all lists alike; a limit is a round number.
    if len(used) < most + 2 or most < _LEAST_WINDOW or most % _ROUND:
        return None
    begin, end = refetches.since(cases.dashboard, accepted), refetches.end(cases.dashboard)
    full = np.append(listed, 0)[refetches.version] == most
    fulls = np.concatenate([[0], np.cumsum(refetches.showed & full)])
    good = np.concatenate([[0], np.cumsum(refetches.showed)])
    beyond = (good[end] > good[begin]) & (fulls[end] - fulls[begin] == good[end] - good[begin])
    for number in np.unique(chat[beyond]).tolist():
        there = lists.over_versions(number, lists.total >= 0)
        shown = np.concatenate([[0], np.cumsum(refetches.showed & (np.append(there, 0)[refetches.version] > 0))])
        mine = beyond & (chat == number)
        beyond[mine] = (shown[end] == shown[begin])[mine]
    rows = np.flatnonzero(beyond)
    if len(np.unique(chat[rows])) < 2:
        return None  # that may as well be something about this one chat
    return Claim(
        "list_window", rows, words={"shown": str(most)},
        evidence=(f"{len(used)} chats have messages; no list has more than {most}",),
        witness=f"no list after it has its chat, and each has {most} chats",
    )  # fmt: skip


def stale_list(facts: Facts, cases: Cases) -> Claim | None:
    """A refetch that began after its frame, or its response, lacks it: the list is cached, or announced too early."""
    ledger, refetches = facts.ledger, facts.refetches
    if ledger.by_frames or not len(refetches.started):
        return None
    moments = moments_of(ledger, cases)
    known = np.where(np.isfinite(moments.notified), np.maximum(moments.notified, moments.sent), moments.accepted)
    begin = refetches.since(cases.dashboard, known)
    # Of a late delivery, the refetches before the one that shows it.
    shows = np.append(ledger.reads.started, np.inf)[ledger.visibility.read[cases.delivery]]
    end = np.minimum(refetches.end(cases.dashboard), refetches.since(cases.dashboard, shows))
    good = np.concatenate([[0], np.cumsum(refetches.showed)])
    lacking = (good[np.maximum(end, begin)] - good[begin]) > 0
    rows = np.flatnonzero(lacking & facts.stored[cases.message])
    if not len(rows):
        return None
    others = _catches_up(facts)
    if others is None:
        return None
    # A loss counts only if its dashboard stopped refetching before a list would have had it: what no list shows after
    # that is lost in another way.
    last = np.append(refetches.started, -np.inf)[refetches.end(cases.dashboard) - 1]
    rows = rows[np.isfinite(moments.visible[rows]) | (last[rows] - known[rows] <= others.lag)]
    if not len(rows):
        return None
    # Messages of the same age are in a list or not, by when it was made.
    stuck = None if others.steady else _unchanged(facts)
    return Claim(
        "frame_before_list" if stuck is None else "cached_list", rows,
        witness=_stale(facts, begin[rows[0]]),
        evidence=(
            stuck or others.told,
            f"others: in a list {human(others.middle)} after their frame (median), nearly all by {human(others.lag)}",
            _lacking(rows, begin, end, good),
        ),
    )  # fmt: skip


def _lacking(rows: Ints, begin: Ints, end: Ints, good: Ints) -> str:
    count = int((good[np.maximum(end, begin)] - good[begin])[rows].sum())
    return f"{many(count, 'refetch')} began after one of these {len(rows):,} frames, and lacked its message"


def _stale(facts: Facts, refetch: int) -> str:
    return f"the refetch that began at {facts.seconds(facts.refetches.started[refetch])} lacks it"


_STUCK_MESSAGES = 3


def _unchanged(facts: Facts) -> str | None:
    """If refetches got the same version of the list although several messages, which later lists show, had been
    accepted between them, at least twice: how often.
    """
    refetches, messages = facts.refetches, facts.ledger.messages
    good = np.flatnonzero(refetches.showed)
    if len(good) < 2:
        return None
    same = (refetches.dashboard[good][1:] == refetches.dashboard[good][:-1]) & (
        refetches.version[good][1:] == refetches.version[good][:-1]
    )
    accepted = np.sort(messages.done[messages.accepted & facts.stored])
    first, second = good[:-1][same], good[1:][same]
    # The later of the two must show what was accepted before it began, and the former did not have it yet.
    between = np.searchsorted(accepted, refetches.started[second]) - np.searchsorted(accepted, refetches.done[first])
    occasions = int((between >= _STUCK_MESSAGES).sum())
    if occasions < 2:
        return None
    return (
        f"{occasions:,} times a refetch got the same list as the one before, although {_STUCK_MESSAGES} or more "
        "messages had been accepted in between"
    )


class _Behind(NamedTuple):
    """Deliveries that a refetch lacks although it began after the frame, and that a later one has."""

    told: str
    lag: float  # seconds from the frame to the beginning of the refetch that has it, for all but a few
    middle: float  # the same, in the middle
    steady: bool  # messages appear at about the same age


_FEW, _USUAL = 5, 0.1
_SAMPLE = 200_000


def _catches_up(facts: Facts) -> _Behind | None:
    """How lists come after frames, or where these are unknown, after responses; None if they come in time."""
    ledger, refetches = facts.ledger, facts.refetches
    some = ints(np.flatnonzero(ledger.delivered))
    some = some[:: max(1, len(some) // _SAMPLE)]
    dashboard, notified = ledger.deliveries.dashboard[some], ledger.announcements.notified[some]
    accepted = ledger.messages.done[ledger.deliveries.message[some]]
    known = np.where(np.isfinite(notified), notified, accepted)
    begin = refetches.since(dashboard, known)
    shows = np.append(ledger.reads.started, np.inf)[ledger.visibility.read[some]]
    starts = np.append(refetches.started, np.inf)
    behind = (begin < refetches.end(dashboard)) & (starts[begin] < shows) & np.isfinite(shows)
    # Where that is an accident, it need not be why others are missing.
    if behind.sum() < max(_FEW, _USUAL * len(some)):
        return None
    told = (
        f"{behind.sum():,} of {len(some):,} other deliveries, too, are missing from the first refetch after their "
        "frame, and shown by a later one"
    )
    lacking = starts[refetches.since(dashboard[behind], shows[behind]) - 1] - accepted[behind]
    oldest, youngest = np.quantile(lacking, 0.95), np.quantile(shows - accepted, 0.05)
    return _Behind(
        told,
        float(np.quantile((shows - known)[behind], 0.95)),
        float(np.median((shows - known)[behind])),
        bool(oldest <= 2 * youngest + 0.1),
    )


def nobody_asked_again(facts: Facts, cases: Cases) -> Claim | None:
    """Likewise, and its dashboard was disconnected when it was accepted: no frame could tell it to."""
    subscriptions = facts.subscriptions
    accepted = moments_of(facts.ledger, cases).accepted
    at = subscriptions.until(cases.dashboard, accepted)
    away = (at < 0) | (np.append(subscriptions.end, np.inf)[at] <= accepted)
    rows = np.flatnonzero(away & (subscriptions.after(cases.dashboard, accepted) >= 0))
    claim = nobody_asked(facts, cases.only(rows)) if len(rows) else None
    return None if claim is None else replace(claim, rows=rows[claim.rows])


def nobody_asked(facts: Facts, cases: Cases) -> Claim | None:
    """No refetch of its dashboard began after it was accepted."""
    if facts.ledger.by_frames:
        return None
    accepted = moments_of(facts.ledger, cases).accepted
    refetches = facts.refetches
    asked = refetches.end(cases.dashboard) - refetches.since(cases.dashboard, accepted)
    rows = np.flatnonzero((asked == 0) & facts.stored[cases.message])
    if not len(rows):
        return None
    return Claim(
        "nobody_asked",
        rows,
        evidence=(f"on {dashboards(cases.dashboard[rows])}",),
        witness=_last_refetch(facts, cases, rows),
    )


def _last_refetch(facts: Facts, cases: Cases, rows: Ints) -> str:
    last = int(facts.refetches.end(cases.dashboard[rows[:1]])[0]) - 1
    if last < facts.refetches.first[cases.dashboard[rows[0]]]:
        return "its dashboard never refetched"
    return f"its dashboard's last refetch began at {facts.seconds(facts.refetches.started[last])}"


_RISE, _STEP, _RISE_OF_LOAD = 2.0, 1.1, 1.5


def growing_list(facts: Facts, cases: Cases) -> Claim | None:
    """Bytes and time of a refetch rise together, and the list takes most of the delay."""
    if cases.finding != "late" or facts.ledger.by_frames:
        return None
    refetches = facts.refetches
    good: Ints = ints(
        np.flatnonzero(refetches.showed & (refetches.size > 0) & (refetches.started >= facts.ledger.start))
    )
    if len(good) < 20:
        return None
    size, took = refetches.size[good].astype(np.float64), (refetches.done - refetches.started)[good]
    quarters = np.searchsorted(np.quantile(size, [0.25, 0.5, 0.75]), size)
    middles = [float(np.median(took[quarters == at])) for at in range(4) if (quarters == at).any()]
    small, large = quarters == 0, quarters == 3
    # From each quarter to the next, so that a list that was fast at first and slow ever since does not count.
    rises = len(middles) == 4 and all(later > _STEP * before for before, later in pairwise(middles))
    started = refetches.started[good]
    if (
        not rises
        or not _steady_load(facts, started[small], started[large])
        or size[large].mean() < _RISE * size[small].mean()
        or middles[3] < _RISE * middles[0]
    ):
        return None
    some = good[:: max(1, len(good) // 5_000)]
    like = correlation(refetches.size[some], (refetches.done - refetches.started)[some])
    stages = stages_of(facts, cases)
    rows = np.flatnonzero(stages["slow_list"] >= 0.5 * sum(stages.values()))
    if like < 0.8 or not len(rows):
        return None
    told = (
        f"the smallest quarter of the lists, {size[small].mean() / 1e3:,.1f} kB, took "
        f"{human(middles[0])}, the largest, {size[large].mean() / 1e3:,.1f} kB, {human(middles[3])} "
        f"(rank correlation {like:.2f})"
    )
    return Claim("growing_list", rows, evidence=(told,), best=int(np.argmax(stages["slow_list"][rows])))


def _steady_load(facts: Facts, before: Floats, after: Floats) -> bool:
    """Whether about as many messages were sent per second around some moments as around others."""
    sent = np.sort(facts.ledger.messages.sent[np.isfinite(facts.ledger.messages.sent)])
    rates = [
        (np.searchsorted(sent, times + 0.5) - np.searchsorted(sent, times - 0.5)).mean() for times in (before, after)
    ]
    return bool(rates[1] <= _RISE_OF_LOAD * max(rates[0], 1.0))


def reads_since(facts: Facts, cases: Cases, moment: Floats) -> Ints:
    """How many lists the dashboard got by refetches that began after the moment."""
    refetches = facts.refetches
    good = np.concatenate([[0], np.cumsum(refetches.showed)])
    return ints(good[refetches.end(cases.dashboard)] - good[refetches.since(cases.dashboard, moment)])
