"""Compares what Grafana would show, queried from a real Prometheus, with the verdict: `make panels`."""
