"""What a target does under load: it stands still, falls behind, takes dashboards in turn, or its list grows."""

from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats
from chatswarm.loadtests.judge.rig import LAG_INTERVAL
from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .claims import Claim
from .facts import Facts
from .faults import holds_up
from .stages import explains, stages_of
from .statistics import correlation, slope
from .words import many

_BIN = 0.01  # seconds
_STILL = 0.5
"""A target stands still if nothing comes from it for this many seconds, although something is due."""


class Pause(NamedTuple):
    """A span in which nothing came from the target, in monotonic seconds."""

    start: float
    end: float


def pauses_of(facts: Facts) -> list[Pause]:
    """When nothing of any kind came from the target, although requests were waiting all the while, and neither a fault
    nor the load generator explains that.
    """
    ledger = facts.ledger
    frames, connections = ledger.observations.frames, ledger.observations.connections
    sends, refetches = ledger.messages, ledger.observations.refetches
    requests = [_answered(sends.sent, sends.done), _answered(refetches.started, refetches.done)]
    begin, end = ledger.start, ledger.end + ledger.scenario.update_target
    busy = np.zeros(int((end - begin) / _BIN) + 2, bool)
    for times in (
        *(each.came for each in requests),
        frames.time,
        connections.subscribed[np.isfinite(connections.subscribed)],
    ):
        inside = times[(times >= begin) & (times < end)]
        busy[((inside - begin) / _BIN).astype(np.int64)] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], busy, [True]]).astype(np.int8)))
    spans = [Pause(begin + first * _BIN, begin + last * _BIN) for first, last in edges.reshape(-1, 2).tolist()]
    return [
        span
        for span in spans
        if span.end - span.start >= _STILL
        and sum(_waited(each, span) for each in requests) >= _WAITING
        and not holds_up(facts, span.start, span.end)
        and _rig_was_awake(facts, span)
    ]


_WAITING = 3
"""So many requests must wait through a pause: a single one may be slow by itself."""


class _Requests(NamedTuple):
    """Requests of one kind that were answered: when each was asked, and when the answer came."""

    asked: Floats
    came: Floats


def _answered(asked: Floats, came: Floats) -> _Requests:
    known = np.isfinite(asked) & np.isfinite(came)
    return _Requests(asked[known], came[known])


def _waited(requests: _Requests, span: Pause) -> int:
    """How many requests were asked at different times before its end, and were answered right after it; 0 if those that
    do not meet the span take as long.
    """
    asked, came, length = requests.asked, requests.came, span.end - span.start
    others = (came - asked)[(came < span.start) | (asked > span.end)]
    if not len(others) or np.median(others) > 0.25 * length:
        return 0
    waited = (asked <= span.end - 0.1 * length) & (came >= span.end - _BIN) & (came <= span.end + 0.25 * length)
    return len(np.unique(np.round(asked[waited], 2)))


def _rig_was_awake(facts: Facts, span: Pause) -> bool:
    """Whether each of the load generator's loops with users woke all through the span, as its samples show."""
    length = span.end - span.start
    for samples in facts.ledger.observations.samples:
        inside = (samples.lag_time >= span.start) & (samples.lag_time <= span.end)
        if samples.busy and inside.sum() < 0.5 * length / LAG_INTERVAL:
            return False
        during = (samples.lag_time >= span.start) & (samples.lag_time - samples.lag <= span.end)
        if samples.lag[during].sum() > 0.25 * length:
            return False
    return True


def pauses(facts: Facts, cases: Cases) -> Claim | None:
    """On target without the time for which the target stood still."""
    if cases.finding != "late" or not (found := pauses_of(facts)):
        return None
    moments = moments_of(facts.ledger, cases)
    still = np.zeros(len(cases))
    for span in found:
        still += np.clip(np.minimum(moments.visible, span.end) - np.maximum(moments.intended, span.start), 0, None)
    # What queued up meanwhile takes a moment longer.
    rows = np.flatnonzero(explains(facts, cases, 1.1 * still))
    if not len(rows):
        return None
    lengths = [span.end - span.start for span in found]
    shown = f"{many(len(found), 'time')}, for {human(max(lengths))} at most"
    first = ", ".join(f"{facts.seconds(span.start)} to {facts.seconds(span.end)}" for span in found[:4])
    return Claim(
        "pauses", rows, "proven" if len(found) > 1 else "probable", words={"pauses": shown},
        evidence=(f"nothing at all came from {first}{' and more' if len(found) > 4 else ''}",),
        best=int(np.argmax(still[rows])),
    )  # fmt: skip


_SECONDS = 4
_RISING = 0.8


def backlog(facts: Facts, cases: Cases) -> Claim | None:
    """Latency rose second by second while the same number of messages was shown in each."""
    if cases.finding != "late":
        return None
    ledger = facts.ledger
    first = ledger.deliveries.min(np.where(ledger.expected, ledger.visible, np.inf))
    shown = np.flatnonzero(ledger.messages.accepted & np.isfinite(first))
    if len(shown) < _SECONDS * 2:
        return None
    second = ((ledger.messages.intended[shown] - ledger.start) // 1).astype(np.int64)
    latency = first[shown] - ledger.messages.intended[shown]
    numbers = np.unique(second)
    medians = np.array([np.median(latency[second == number]) for number in numbers])
    begin, after = _longest_rise(medians)
    if after - begin < _SECONDS:
        return None
    rise = slope(numbers[begin:after].astype(np.float64), medians[begin:after])
    risen = medians[after - 1] - medians[begin]
    scatter = np.median([np.ptp(np.quantile(latency[second == number], [0.25, 0.75])) for number in numbers])
    if risen < _HALF_TARGET * ledger.scenario.update_target or risen < _SCATTER * scatter:
        return None
    # While the backlog grew: what was accepted, and what was first shown anywhere.
    since, until = ledger.start + numbers[begin], ledger.start + numbers[after - 1] + 1
    seconds = int(numbers[after - 1] - numbers[begin]) + 1
    bins = ((first[shown] - since) // 1).astype(np.int64)
    # Not the first second: what was on its way then did not wait.
    came = np.bincount(bins[(bins >= 1) & (bins < seconds)] - 1, minlength=seconds - 1)
    arrived = int(((ledger.messages.sent[shown] >= since) & (ledger.messages.sent[shown] < until)).sum())
    rate = arrived / seconds
    if came.std() > 0.25 * came.mean() or came.mean() > 0.95 * rate:
        return None
    # Until it has drained.
    calm = numbers[(numbers >= numbers[after - 1]) & (medians < _HALF_TARGET * ledger.scenario.update_target)]
    over = ledger.start + (calm[0] if len(calm) else np.inf)
    intended = moments_of(ledger, cases).intended
    waited = first[cases.message] - intended > ledger.scenario.update_target
    rows = np.flatnonzero((intended >= since) & (intended < over) & waited)
    if not len(rows):
        return None
    told = (
        f"from {numbers[begin]:g} s to {numbers[after - 1] + 1:g} s, latency rose by {human(rise)} each second, to "
        f"{human(float(medians[after - 1]))}"
    )
    return Claim(
        "backlog", rows, words={"shown": f"{came.mean():.3g}", "accepted": f"{rate:.3g}"}, evidence=(told,),
        best=int(np.argmax(ledger.latency[cases.delivery[rows]])),
    )  # fmt: skip


_HALF_TARGET, _SCATTER = 0.5, 3.0


def _longest_rise(medians: Floats) -> tuple[int, int]:
    """The longest stretch in which nearly every step goes up: where it begins, and the place after its end."""
    ups = np.concatenate([[0], np.cumsum(np.diff(medians) > 0)])
    for length in range(len(medians), _SECONDS - 1, -1):
        begin = np.arange(len(medians) - length + 1)
        last = begin + length - 1
        rising = ups[last] - ups[begin] >= _RISING * (length - 1)
        rising &= (ups[begin + 1] > ups[begin]) & (ups[last] > ups[last - 1])
        if rising.any():
            first = int(np.argmax(rising))
            return first, first + length
    return 0, 0


_ORDERLY, _UNEVEN = 0.9, 2.0
_MESSAGES = 5
_MOST_MESSAGES = 300


def dashboards_in_turn(facts: Facts, cases: Cases) -> Claim | None:
    """The frames of a message come to the dashboards in the same order each time, and the last of them late."""
    if cases.finding != "late":
        return None
    ledger = facts.ledger
    affected = np.unique(cases.message)
    affected = affected[:: max(1, len(affected) // _MOST_MESSAGES)]
    table = np.full((len(affected), ledger.deliveries.dashboards), np.nan)
    mine = ledger.deliveries.of(affected)
    row = np.repeat(np.arange(len(affected)), ledger.deliveries.counts[affected])
    table[row, ledger.deliveries.dashboard[mine]] = ledger.announcements.notified[mine]
    table[~np.isfinite(table)] = np.nan
    table = table[(~np.isnan(table)).sum(axis=1) >= 4]
    table = table[:, ~np.isnan(table).all(axis=0)]
    if len(table) < _MESSAGES:
        return None
    first, last = np.nanmin(table, axis=1), np.nanmax(table, axis=1)
    order = np.nanmean((table - first[:, None]) / np.maximum(last - first, 1e-9)[:, None], axis=0)
    like = np.median([_alike(times, order) for times in table])
    many_of = (~np.isnan(table)).sum(axis=1)
    each = float(np.median((last - first) / (many_of - 1)))
    stages = stages_of(facts, cases)
    spread = float(np.median(last - first))
    rows = np.flatnonzero(stages["slow_notify"] >= 0.5 * sum(stages.values()))
    # One after another, and not some early and some late.
    uneven = np.diff(np.sort(order)).max() > _UNEVEN / (len(order) - 1)
    if (
        like < _ORDERLY
        or uneven
        or not len(rows)
        or spread < 0.25 * float(np.median(ledger.latency[cases.delivery[rows]]))
    ):
        return None
    told = (
        f"in {many(len(table), 'message')}, frames came to the dashboards in the same order (rank correlation "
        f"{like:.2f}), the last {human(spread)} after the first"
    )
    return Claim("dashboards_in_turn", rows, words={"each": human(each)}, evidence=(told,))


def _alike(times: Floats, order: Floats) -> float:
    known = ~np.isnan(times)
    return correlation(times[known], order[known])
