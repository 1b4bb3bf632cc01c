"""Grafana dashboards as code, and the configuration of the Prometheus behind them."""
