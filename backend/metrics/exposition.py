"""Merges the metrics of several workers into one text, with a label for the worker."""

from __future__ import annotations

from collections.abc import Mapping

from .metrics import WORKERS_UP


def merged(texts: Mapping[int, bytes]) -> bytes:
    """Prometheus' text format with a label `worker` on each sample, and the number of workers.

    `texts` are the expositions by worker number. The samples of a metric stay together, as the format requires.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number, text in sorted(texts.items()):
        name = ""
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                heads.setdefault(name, [line])
            elif line.startswith("# TYPE "):
                if len(heads[name]) == 1:
                    heads[name].append(line)
            else:
                samples.setdefault(name, []).append(_labelled(line, number))
    up, meaning = WORKERS_UP
    lines = [f"# HELP {up} {meaning}", f"# TYPE {up} gauge", f"{up} {len(texts)}.0"]
    for name, head in heads.items():
        lines += [*head, *samples.get(name, ())]
    return "".join(f"{line}\n" for line in lines).encode()


def _labelled(sample: str, worker: int) -> str:
    label = f'worker="{worker}"'
    at = min(index for index in (sample.find("{"), sample.find(" ")) if index >= 0)
    if sample[at] == " ":
        return f"{sample[:at]}{{{label}}}{sample[at:]}"
    return f"{sample[: at + 1]}{label},{sample[at + 1 :]}"
