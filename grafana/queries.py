"""PromQL expressions for the panels, with the dashboards' variables such as `$swarm` and `$run`.

Quantiles and rates are over the last `$window`; `so far` means since the run began.
"""

from typing import Final

SCRAPE: Final = "1s"
"""The scrape interval in prometheus/prometheus.yml."""

_RUN: Final = 'and on (instance) chatswarm_run_info{instance=~"$swarm", run=~"$run"}'
# One exporter may serve several runs in turn, and their metrics have no label for the run. So this join drops the
# samples that were scraped while another run was active.


def of_swarm(metric: str, labels: str = "") -> str:
    """A metric of the swarm, for the selected runs."""
    return f"({_selected('swarm', metric, labels)} {_RUN})"


def of_backend(metric: str, labels: str = "") -> str:
    """A metric of the backend, for each of its workers."""
    return _selected("backend", metric, labels)


def increase(metric: str, labels: str = "") -> str:
    """The increase of a counter within the window."""
    grown = f"increase({_selected(_source(metric), metric, labels)}[$window])"
    return f"({grown} {_RUN})" if _source(metric) == "swarm" else grown


def rate(metric: str, labels: str = "") -> str:
    """The increase of a counter per second."""
    grown = f"rate({_selected(_source(metric), metric, labels)}[$window])"
    return f"({grown} {_RUN})" if _source(metric) == "swarm" else grown


def total(query: str, by: str = "") -> str:
    """The sum over all workers and instances, or one sum for each value of the label `by`."""
    return f"sum by ({by}) ({query})" if by else f"sum({query})"


def quantile(q: float, histogram: str) -> str:
    """A quantile of the observations within the window. For 1: the upper edge of the highest bucket, an upper bound."""
    return f"histogram_quantile({q:g}, {total(rate(f'{histogram}_bucket'), 'le')})"


def average(histogram: str) -> str:
    """The average of the observations within the window. Do not use it for latencies."""
    return f"{total(rate(f'{histogram}_sum'))} / {total(rate(f'{histogram}_count'))}"


def update_quantile(q: float, *, so_far: bool = False) -> str:
    """A quantile of the update latency. Missing deliveries count as infinite, as in the verdict: otherwise it would
    cover the survivors only, and fall while deliveries are being lost. It never exceeds the histogram's last edge.
    """
    metric = "chatswarm_visible_seconds_bucket"
    buckets = of_swarm(metric) if so_far else increase(metric)
    missing = of_swarm("chatswarm_deliveries_missing")
    # The label `missing` keeps `or` from dropping this series as a duplicate of the +Inf bucket.
    infinite = f'label_replace(label_replace({missing}, "le", "+Inf", "", ""), "missing", "yes", "", "")'
    return f"histogram_quantile({q:g}, sum by (le) ({buckets} or {infinite}))"


def _selected(source: str, metric: str, labels: str) -> str:
    # By job, because every process exports process_* metrics.
    job = 'job="backend", ' if source == "backend" else ""
    return f'{metric}{{{job}instance=~"${source}"{", " if labels else ""}{labels}}}'


def _source(metric: str) -> str:
    return "swarm" if metric.startswith("chatswarm_") else "backend"
