"""What Grafana would show, asked of a real Prometheus and held against the verdict: `make panels`."""
