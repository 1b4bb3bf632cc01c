"""What engineers watch while the swarm runs: dashboards as code, and the Prometheus that feeds them."""
