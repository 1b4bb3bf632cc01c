"""A pipeline without sockets, on a clock that the test controls: whatever happens, no byte is missing."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.faults.proxy.active_toxic import ActiveToxic
from chatswarm.loadtests.faults.proxy.evidence import ProxyEvidence
from chatswarm.loadtests.faults.proxy.link import Link
from chatswarm.loadtests.faults.proxy.toxics.toxic import End


@dataclass
class Call:
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """A clock that moves, and runs timers, only in `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._calls: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, call: Callable[[], None]) -> Call:
        made = Call(call)
        heapq.heappush(self._calls, (max(when, self._now), next(self._numbers), made))
        return made

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while self._calls and self._calls[0][0] <= end:
            when, _, made = heapq.heappop(self._calls)
            self._now = max(self._now, when)
            if not made.cancelled:
                made.call()
        self._now = end


@dataclass
class Receiver:
    """Records what the pipeline delivers and asks for."""

    data: bytearray = field(default_factory=bytearray)
    end: End | None = None
    paused: bool = False
    cut_by_toxic: bool = False
    link: Link | None = None

    def write(self, data: bytes) -> None:
        assert data
        assert self.end is None, "bytes after the end"
        self.data += data

    def finish(self, end: End) -> None:
        assert self.end is None, "two ends"
        self.end = end

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def cut(self, *, reset: bool) -> bool:
        first, self.cut_by_toxic = not self.cut_by_toxic, True
        if reset:
            assert self.link is not None
            self.link.abort(swallowed=True)
            self.end = End.RESET
        return first


class Bench:
    """A pipeline, with what was fed into it."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.receiver = Receiver()
        self.evidence = ProxyEvidence()
        self.link = Link(self.receiver, [], self.evidence, self.clock, random.Random(seed))
        self.receiver.link = self.link
        self.sent = bytearray()
        self.toxics: list[ActiveToxic] = []
        self._bytes = random.Random(seed)

    def feed(self, count: int) -> None:
        data = self._bytes.randbytes(count)
        self.sent += data
        self.link.feed(data)

    def add(self, kind: str, toxicity: float = 1.0, **values: int) -> ActiveToxic:
        toxic = ActiveToxic("x", kind, "upstream", toxicity, values)
        self.toxics.append(toxic)
        self.link.add(toxic)
        return toxic

    def remove(self, toxic: ActiveToxic) -> None:
        self.toxics.remove(toxic)
        self.link.remove(toxic)


GENTLE = st.sampled_from(
    [
        ("latency", {"latency": 100, "jitter": 0}),
        ("latency", {"latency": 50, "jitter": 80}),
        ("bandwidth", {"rate": 0}),
        ("bandwidth", {"rate": 3}),
        ("bandwidth", {"rate": 1000}),
        ("slicer", {"average_size": 900, "size_variation": 800, "delay": 1000}),
        ("slicer", {"average_size": 5000, "size_variation": 0, "delay": 0}),
        ("slow_close", {"delay": 500}),
        ("reset_peer", {"timeout": 10**9}),
        ("limit_data", {"bytes": 10**12}),
    ]
)
CUTTING = st.sampled_from(
    [
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": 200}),
        ("limit_data", {"bytes": 20_000}),
        ("reset_peer", {"timeout": 200}),
    ]
)


def steps(toxics: st.SearchStrategy[tuple[str, dict[str, int]]]) -> st.SearchStrategy[list[tuple[str, object]]]:
    return st.lists(
        st.one_of(
            st.tuples(st.just("feed"), st.integers(1, 60_000)),
            st.tuples(st.just("advance"), st.floats(0, 0.5)),
            st.tuples(st.just("add"), st.tuples(toxics, st.sampled_from([0.5, 1.0]))),
            st.tuples(st.just("remove"), st.integers(0, 9)),
            st.tuples(st.just("change"), st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0]))),
            st.tuples(st.just("full"), st.booleans()),
            st.tuples(st.just("end"), st.none()),
        ),
        max_size=40,
    )


def perform(bench: Bench, work: list[tuple[str, object]]) -> None:
    for kind, argument in work:
        match kind, argument:
            case "feed", int(count):
                # After a reset, the sender's socket is closed too.
                if not bench.link.sender_ended and not bench.receiver.paused and bench.receiver.end is not End.RESET:
                    bench.feed(count)
            case "advance", float(seconds):
                bench.clock.advance(seconds)
            case "add", ((str(name), dict(values)), float(toxicity)):
                bench.add(name, toxicity, **values)
            case "remove", int(number) if bench.toxics:
                bench.remove(bench.toxics[number % len(bench.toxics)])
            case "change", (int(number), float(toxicity)) if bench.toxics:
                toxic = bench.toxics[number % len(bench.toxics)]
                toxic.toxicity = toxicity
                bench.link.change(toxic)
            case "full", bool(full):
                bench.link.receiver_full(full)
            case "end", _:
                bench.link.feed_end(End.HALF)
        assert bench.sent.startswith(bench.receiver.data)


@settings(deadline=None, max_examples=200)
@given(steps(GENTLE), st.integers(0, 9))
def test_toxics_that_only_delay_lose_no_byte(work: list[tuple[str, object]], seed: int) -> None:
    bench = Bench(seed)
    perform(bench, work)
    bench.link.receiver_full(False)
    for toxic in list(bench.toxics):
        bench.remove(toxic)
    assert bench.receiver.data == bench.sent
    assert bench.receiver.end is (End.HALF if bench.link.sender_ended else None)
    assert not bench.receiver.cut_by_toxic
    assert bench.evidence.bytes_through == len(bench.sent)
    assert bench.evidence.bytes_swallowed == 0


@settings(deadline=None, max_examples=200)
@given(steps(GENTLE | CUTTING), st.integers(0, 9))
def test_what_arrives_is_a_prefix_and_the_rest_is_counted(work: list[tuple[str, object]], seed: int) -> None:
    bench = Bench(seed)
    perform(bench, work)
    bench.link.receiver_full(False)
    for toxic in list(bench.toxics):
        bench.remove(toxic)
    assert bench.sent.startswith(bench.receiver.data)
    if bench.receiver.data != bench.sent:
        assert bench.receiver.cut_by_toxic
        assert bench.receiver.end in (End.CLOSE, End.RESET)
    assert bench.evidence.bytes_through == len(bench.receiver.data)
    assert bench.evidence.bytes_swallowed == len(bench.sent) - len(bench.receiver.data)


@pytest.mark.parametrize("kind", ["latency", "bandwidth", "reset_peer", "slicer"])
def test_waiting_data_is_bounded(kind: str) -> None:
    values = {"latency": 10**9, "jitter": 0, "rate": 0, "timeout": 10**9, "average_size": 10, "size_variation": 0}
    bench = Bench()
    bench.add(kind, **{**values, "delay": 10**12})
    while not bench.receiver.paused:
        assert len(bench.sent) < 3 << 20
        bench.feed(4096)
    assert bench.receiver.data == bench.sent[:10] if kind == "slicer" else not bench.receiver.data


def test_the_sender_resumes_when_there_is_capacity_again() -> None:
    bench = Bench()
    bench.add("bandwidth", rate=1000)
    bench.feed(200_000)
    held = [bench.receiver.paused]
    bench.clock.advance(0.201)
    assert [*held, bench.receiver.paused] == [True, False]
    assert bench.receiver.data == bench.sent


def test_latency_is_exact() -> None:
    bench = Bench()
    bench.add("latency", latency=100, jitter=0)
    bench.add("latency", latency=50, jitter=0)
    bench.feed(10)
    bench.clock.advance(0.1499)
    assert not bench.receiver.data
    bench.clock.advance(0.0002)
    assert bench.receiver.data == bench.sent


def test_bandwidth_is_exact_over_many_pieces() -> None:
    bench = Bench()
    bench.add("bandwidth", rate=10)
    for _ in range(20):
        bench.feed(1000)
    bench.clock.advance(1.0)
    assert 9_000 <= len(bench.receiver.data) <= 10_000
    bench.clock.advance(1.01)
    assert bench.receiver.data == bench.sent


def test_an_end_waits_for_the_last_byte() -> None:
    bench = Bench()
    bench.add("latency", latency=100, jitter=0)
    bench.feed(10)
    bench.link.feed_end(End.HALF)
    ends = [bench.receiver.end]
    bench.clock.advance(0.11)
    assert bench.receiver.data == bench.sent
    assert [*ends, bench.receiver.end] == [None, End.HALF]


def test_a_slicers_pieces_are_written_one_at_a_time_even_if_all_are_due() -> None:
    bench = Bench()
    bench.add("slicer", average_size=100, size_variation=0, delay=0)
    bench.feed(1000)
    assert bench.receiver.data == bench.sent[:100]  # the others in later loop iterations
    bench.clock.advance(0)
    assert bench.receiver.data == bench.sent


def test_bytes_lost_to_a_limit_are_counted_when_a_delay_is_removed() -> None:
    bench = Bench()
    delay = bench.add("latency", latency=10**9, jitter=0)
    limit = bench.add("limit_data", bytes=20_000)
    bench.feed(60_000)
    bench.link.remove(delay)
    assert bench.receiver.data == bench.sent[:20_000]
    assert bench.evidence.bytes_swallowed == limit.evidence.bytes_swallowed == 40_000
    bench.feed(1)
    assert limit.evidence.bytes_swallowed == 40_001
    assert (limit.evidence.connections_cut, bench.receiver.end) == (1, End.CLOSE)


def test_bytes_lost_to_a_limit_are_counted_when_a_delay_is_lowered() -> None:
    bench = Bench()
    delay = bench.add("latency", latency=10**9, jitter=0)
    limit = bench.add("limit_data", bytes=20_000)
    bench.feed(60_000)
    delay.values = {"latency": 0, "jitter": 0}
    bench.link.change(delay)
    assert bench.receiver.data == bench.sent[:20_000]
    assert bench.evidence.bytes_swallowed == limit.evidence.bytes_swallowed == 40_000


def test_a_black_hole_closes_once() -> None:
    bench = Bench()
    hole = bench.add("timeout", timeout=100)
    bench.feed(10)
    bench.link.feed_end(End.HALF)
    bench.clock.advance(1)
    bench.remove(hole)
    assert (hole.evidence.connections_cut, bench.evidence.connections_cut) == (1, 1)


def test_a_connection_affected_twice_counts_once() -> None:
    bench = Bench()
    delay = bench.add("latency", latency=1, jitter=0)
    for toxicity in (0, 1):
        delay.toxicity = toxicity
        bench.link.change(delay)
    assert delay.evidence.connections_affected == 1


def test_a_reset_waits_for_the_first_bytes_of_a_new_connection() -> None:
    clock, receiver = ManualClock(), Receiver()
    toxic = ActiveToxic("x", "reset_peer", "upstream", 1.0, {"timeout": 100})
    receiver.link = Link(receiver, [toxic], ProxyEvidence(), clock, random.Random(1))
    clock.advance(10)
    ends = [receiver.end]
    receiver.link.feed(b"x")
    for _ in range(2):
        clock.advance(0.06)
        ends.append(receiver.end)
    assert ends == [None, None, End.RESET]
