"""The configuration of third-party services: Toxiproxy's proxy, Prometheus' targets, Grafana's folders."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from .resolved import ROOT, ports_inside, resolved, service


def mounted(name: str, inside: str) -> Path:
    """The path in this repository that is mounted at `inside`."""
    for volume in service(name)["volumes"]:
        if volume["type"] == "bind" and Path(inside).is_relative_to(volume["target"]):
            return Path(volume["source"]) / Path(inside).relative_to(volume["target"])
    raise AssertionError(f"{name} has nothing of this repository at {inside}")


def flags(name: str) -> dict[str, str]:
    return dict(word.lstrip("-").split("=", 1) for word in service(name)["command"])


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_toxiproxy_forwards_to_the_backend() -> None:
    assert flags("toxiproxy").keys() == {"host", "port", "config"}
    assert int(flags("toxiproxy")["port"]) in ports_inside("toxiproxy")
    (proxy,) = json.loads(mounted("toxiproxy", flags("toxiproxy")["config"]).read_text(encoding="utf-8"))
    assert proxy.keys() == {"name", "listen", "upstream", "enabled"}
    host, port = proxy["upstream"].split(":")
    assert int(port) in ports_inside(host)
    assert proxy["enabled"] is True
    listens = urlsplit(f"tcp://{proxy['listen']}")
    assert listens.hostname == "0.0.0.0"
    assert listens.port in ports_inside("toxiproxy")


def test_prometheus_finds_its_configuration_and_rules() -> None:
    found = mounted("prometheus", flags("prometheus")["config.file"])
    for pattern in read(found).get("rule_files", []):
        assert list(found.parent.glob(pattern)), pattern
    targets = {volume["target"] for volume in service("prometheus")["volumes"]}
    assert flags("prometheus")["storage.tsdb.path"] in targets


def test_prometheus_scrapes_existing_services_and_ports() -> None:
    jobs = read(mounted("prometheus", flags("prometheus")["config.file"]))["scrape_configs"]
    targets = {target for job in jobs for some in job["static_configs"] for target in some["targets"]}
    assert targets
    for target in targets:
        host, port = target.split(":")
        assert host in resolved()["services"]
        assert int(port) in ports_inside(host), f"{host} listens on {ports_inside(host)}, and is asked on {port}"
    assert {target.split(":")[0] for target in targets} >= {"backend", "locust"}


def test_the_swarm_serves_its_metrics_to_other_containers() -> None:
    command = service("locust")["command"]
    assert command[command.index("--metrics-host") + 1] == "0.0.0.0"
    options = (ROOT / "loadtests/swarm/locust/arguments.py").read_text(encoding="utf-8")
    assert all(f'"{flag}"' in options for flag in ("--metrics-host", "--metrics-port"))


def test_grafana_finds_its_dashboards_and_cannot_change_them() -> None:
    files = list(mounted("grafana", "/etc/grafana/provisioning/dashboards").glob("*.y*ml"))
    providers = [provider for file in files for provider in read(file)["providers"]]
    assert providers
    for provider in providers:
        assert provider["allowUiUpdates"] is False
        assert list(mounted("grafana", provider["options"]["path"]).glob("*.json"))


def test_grafana_has_the_address_of_prometheus() -> None:
    files = list(mounted("grafana", "/etc/grafana/provisioning/datasources").glob("*.y*ml"))
    urls = [urlsplit(source["url"]) for file in files for source in read(file)["datasources"]]
    assert urls
    for url in urls:
        assert url.hostname == "prometheus"
        assert url.port in ports_inside("prometheus")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GF_AUTH_ANONYMOUS_ENABLED", "true"),
        ("GF_AUTH_ANONYMOUS_ORG_ROLE", "Viewer"),
        ("GF_AUTH_BASIC_ENABLED", "false"),
        ("GF_AUTH_DISABLE_LOGIN_FORM", "true"),
    ],
)
def test_grafana_is_read_only(variable: str, value: str) -> None:
    assert service("grafana")["environment"][variable] == value
