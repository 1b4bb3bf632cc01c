"""`make bench ROW=growth`: how CPU and latency grow with the dashboards and with the rate, and the law behind it.

Each step is a short run. The law is fitted to the steps of both series, and then has to predict a load that was not
among them. The steps and laws go to docs/benchmarks/growth.json, the picture beside it, both into docs/benchmarks.md.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict

from tests.bench.figure import Figure
from tests.bench.page_of_rows import FOLDER, PAGE

from .law import fit
from .picture import Laws, picture
from .section import with_growth
from .step import MODES, SIDES, GrowthStep, measure_step

DASHBOARDS, AT_RATE = (100, 200, 400, 800, 1600), 10
RATES, AT_DASHBOARDS = (10, 20, 40, 80, 160, 320), 100
UNSEEN = (500, 40)
"""Dashboards and rate of the load that is predicted."""
OFF_BY = 15.0  # per cent


def figures() -> Iterator[Figure]:
    """Measures all steps, writes them down, and yields how far each prediction is off."""
    loads = dict.fromkeys([(count, AT_RATE) for count in DASHBOARDS] + [(AT_DASHBOARDS, rate) for rate in RATES])
    steps = [measure_step(mode, *load) for load in loads for mode in MODES]
    unseen = [measure_step(mode, *UNSEEN) for mode in MODES]
    laws: Laws = {
        (mode, side): fit([step.counts for step in mine], [step.cpu[side] for step in mine])
        for mode in MODES
        for mine in [[step for step in steps if step.mode == mode]]
        for side in SIDES
    }
    _write(steps, unseen, laws)
    for step in unseen:
        for side, cpu in step.cpu.items():
            off = abs(laws[step.mode, side].predict(step.counts) / cpu - 1) * 100
            yield Figure(f"growth: prediction of the CPU of the {side}, {step.mode}, is off by", off, OFF_BY, "%")


def _write(steps: list[GrowthStep], unseen: list[GrowthStep], laws: Laws) -> None:
    FOLDER.mkdir(exist_ok=True)
    told = [{"mode": mode, "side": side, "costs": law.costs} for (mode, side), law in laws.items()]
    written = {"steps": [asdict(step) for step in steps], "unseen": [asdict(step) for step in unseen], "laws": told}
    (FOLDER / "growth.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    over_dashboards = [step for step in steps if step.rate == AT_RATE]
    over_rate = [step for step in steps if step.dashboards == AT_DASHBOARDS]
    (FOLDER / "growth.svg").write_text(picture(over_dashboards, over_rate, laws), encoding="utf-8")
    PAGE.write_text(with_growth(PAGE.read_text(encoding="utf-8"), unseen, laws), encoding="utf-8")
