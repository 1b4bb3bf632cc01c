"""The words in which panels ask Prometheus; the dashboards' variables stand in them as `$swarm` or `$run`.

Quantiles and rates are over the last `$window`; what is counted `so far` is since the run began.
"""

from typing import Final

SCRAPE: Final = "1s"
"""How often prometheus/prometheus.yml asks."""

_RUN: Final = 'and on (instance) chatswarm_run_info{instance=~"$swarm", run=~"$run"}'
# One exporter may serve one run after the other, and their metrics have no label for it: what is not of the chosen runs
# is what was scraped while another run was there.


def of_swarm(metric: str, labels: str = "") -> str:
    """A metric of the swarm as it is, of the chosen runs."""
    return f"({_selected('swarm', metric, labels)} {_RUN})"


def of_backend(metric: str, labels: str = "") -> str:
    """A metric of the backend as it is, of each of its workers."""
    return _selected("backend", metric, labels)


def increase(metric: str, labels: str = "") -> str:
    """How much a counter grew within the window."""
    grown = f"increase({_selected(_source(metric), metric, labels)}[$window])"
    return f"({grown} {_RUN})" if _source(metric) == "swarm" else grown


def rate(metric: str, labels: str = "") -> str:
    """How much a counter grows in a second."""
    grown = f"rate({_selected(_source(metric), metric, labels)}[$window])"
    return f"({grown} {_RUN})" if _source(metric) == "swarm" else grown


def total(query: str, by: str = "") -> str:
    """Over all workers and instances; `by`: one for each value of that label."""
    return f"sum by ({by}) ({query})" if by else f"sum({query})"


def quantile(q: float, histogram: str) -> str:
    """A quantile of what was observed within the window. 1: the upper edge of the highest bucket, so at most that."""
    return f"histogram_quantile({q:g}, {total(rate(f'{histogram}_bucket'), 'le')})"


def average(histogram: str) -> str:
    """The average of what was observed within the window. Only for what is no latency."""
    return f"{total(rate(f'{histogram}_sum'))} / {total(rate(f'{histogram}_count'))}"


def update_quantile(q: float, *, so_far: bool = False) -> str:
    """A quantile of the update latency in which a missing delivery is infinite, as in the verdict: otherwise it is the
    survivors', and falls while deliveries are being lost. Shows the histogram's last edge for all that is above it.
    """
    metric = "chatswarm_visible_seconds_bucket"
    buckets = of_swarm(metric) if so_far else increase(metric)
    missing = of_swarm("chatswarm_deliveries_missing")
    # The label `missing` keeps `or` from taking it for the bucket that has the same labels.
    infinite = f'label_replace(label_replace({missing}, "le", "+Inf", "", ""), "missing", "yes", "", "")'
    return f"histogram_quantile({q:g}, sum by (le) ({buckets} or {infinite}))"


def _selected(source: str, metric: str, labels: str) -> str:
    # The job, because process_* are metrics of any process.
    job = 'job="backend", ' if source == "backend" else ""
    return f'{metric}{{{job}instance=~"${source}"{", " if labels else ""}{labels}}}'


def _source(metric: str) -> str:
    return "swarm" if metric.startswith("chatswarm_") else "backend"
