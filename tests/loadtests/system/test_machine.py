"""How busy this machine is, from literal texts of the kernel."""

import math
import platform
from pathlib import Path

import pytest

from chatswarm.loadtests.system import machine
from chatswarm.loadtests.system.machine import MachineCounters, parse_counters, read_counters, use_between

STAT = """\
cpu  1000 20 300 5000 70 1 9 40 500 3
cpu0 400 10 100 2500 30 0 4 20 250 3
cpu1 600 10 200 2500 40 1 5 20 250 0
intr 28588720 0 0
ctxt 12345
"""
PRESSURE = [
    f"some avg10=2.87 avg60=15.64 avg300=15.97 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    for total in (6181078617, 292182533, 0)
]


def test_the_counters_are_seconds() -> None:
    """The guests' time is contained in that of the users; what the hypervisor took was not used."""
    assert parse_counters(STAT, PRESSURE, 100, {0, 1}) == MachineCounters(13.30, 64.40, 2, 6181.078617, 292.182533, 0.0)


def test_only_the_cores_that_may_be_used_count() -> None:
    counters = parse_counters(STAT, PRESSURE, 100, {1})
    assert counters is not None
    assert counters[:3] == (8.16, 33.76, 1)


@pytest.mark.parametrize("cores", [{0, 1, 7}, {7}, set()])
def test_cores_that_the_kernel_does_not_list_change_nothing(cores: set[int]) -> None:
    assert parse_counters(STAT, PRESSURE, 100, cores) == parse_counters(STAT, PRESSURE, 100, {0, 1})


def test_a_kernel_without_pressure() -> None:
    counters = parse_counters(STAT, ["", "", "full avg10=0.00 total=3\n"], 100, {0, 1})
    assert counters is not None
    assert all(map(math.isnan, counters[3:]))


@pytest.mark.parametrize("stat", ["", "intr 5\n", "cpu0 1 2 3 4 5 6 7 8\n"])
def test_no_kernel_that_we_know(stat: str) -> None:
    assert parse_counters(stat, PRESSURE, 100, {0, 1}) is None


BEFORE = MachineCounters(100.0, 1000.0, 2, 50.0, 60.0, 70.0)


def test_what_was_used_between_two_readings() -> None:
    after = MachineCounters(103.0, 1004.0, 2, 51.0, 60.5, 70.0)
    assert use_between(BEFORE, after, 2.0) == (1.5, 0.5, 0.25, 0.0, 2)


def test_neither_ticks_nor_clocks_make_more_than_there_is() -> None:
    after = MachineCounters(104.1, 1004.1, 2, 52.1, 59.0, 72.0)
    assert use_between(BEFORE, after, 2.0) == (2.0, 1.0, 0.0, 1.0, 2)


def test_counters_that_stand_still_are_not_a_machine_at_rest() -> None:
    """As in sandboxes that only imitate a kernel: there is no zero for "not measured"."""
    nothing = MachineCounters(0.0, 0.0, 2, math.nan, math.nan, math.nan)
    assert all(map(math.isnan, use_between(nothing, nothing, 1.0)[:4]))


def test_a_machine_at_rest_used_nothing() -> None:
    assert use_between(BEFORE, BEFORE._replace(total=1002.0), 1.0).cpu == 0.0


@pytest.mark.parametrize("stat", [None, "cpu  1 2\n", "cpu  a b c d e f g h\n", "cpu  1 2 3 4 5 6 7 8\n"])
def test_whatever_is_there_reading_it_raises_nothing(
    stat: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, the history of the whole process would end with it."""
    if stat is not None:
        (tmp_path / "stat").write_text(stat)
        (tmp_path / "cpu").write_text("some avg10=0.00\n" if "4" in stat else "")
    monkeypatch.setattr(machine, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(machine, "_PRESSURE", [tmp_path / name for name in ("cpu", "io", "memory")])
    assert read_counters() is None


def test_this_machine() -> None:
    counters = read_counters()
    if not Path("/proc/stat").exists():
        assert counters is None
        return
    assert counters is not None
    assert counters.cores >= 1
    assert 0 <= counters.busy <= counters.total


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7763  64-Core: Processor\n\nmodel name\t: other\n",
         "AMD EPYC 7763 64-Core: Processor"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_name_of_the_processor(cpuinfo: str, name: str) -> None:
    assert machine.parse_processor(cpuinfo) == name


def test_where_there_is_no_cpuinfo_it_is_the_kind_of_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.processor_name() == platform.machine()
