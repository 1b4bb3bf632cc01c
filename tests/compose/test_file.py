"""All services in docker-compose.yml are pinned, closed to the outside, read-only and without secrets."""

import re
from pathlib import Path
from typing import Any

import pytest

from .resolved import OTHERS, OURS, ROOT, docker_compose, resolved, service

EVERY = pytest.mark.parametrize("name", [*OURS, *OTHERS])


def test_the_list_of_services() -> None:
    assert set(resolved()["services"]) == {*OURS, *OTHERS}


def test_compose_itself_reports_no_problem() -> None:
    done = docker_compose("config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_itself_would_report_a_problem(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services: {chat: {image: chat, helthcheck: {}}}", encoding="utf-8")
    done = docker_compose("config", "--quiet", file=wrong)
    assert done.returncode != 0
    assert "helthcheck" in done.stderr


@EVERY
def test_images_are_ours_or_pinned_by_version_and_digest(name: str) -> None:
    found = service(name)
    if name in OURS:
        assert Path(found["build"]["context"]) == ROOT
        assert (ROOT / found["build"]["dockerfile"]).is_file()
        assert "image" not in found
    else:
        assert re.fullmatch(r"[a-z./-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", found["image"])


@EVERY
def test_published_ports_are_reachable_from_this_machine_only(name: str) -> None:
    assert {port.get("host_ip") for port in service(name).get("ports", [])} <= {"127.0.0.1"}
    assert service(name).get("network_mode") is None


def test_ports_are_published_once_and_as_documented() -> None:
    published = [int(port["published"]) for each in resolved()["services"].values() for port in each.get("ports", [])]
    assert sorted(published) == [3000, 3001, 8000, 8089, 8474, 8666, 9090]


@EVERY
def test_it_can_write_only_to_its_volumes(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not found.get("cap_add")
    assert not found.get("privileged")
    for volume in found.get("volumes", []):
        assert volume["type"] == "volume" or volume.get("read_only") is True, f"{name} may write to {volume['source']}"


@EVERY
def test_mounted_paths_exist(name: str) -> None:
    for volume in service(name).get("volumes", []):
        if volume["type"] == "bind":
            assert Path(volume["source"]).exists(), f"{name} mounts {volume['source']}"
            assert Path(volume["source"]).is_relative_to(ROOT)
            assert volume["bind"]["create_host_path"] is False, "an empty folder would be mounted in its place"
        else:
            assert volume["source"] in resolved()["volumes"]


@EVERY
def test_every_dependency_has_a_condition_it_can_meet(name: str) -> None:
    for other, how in service(name).get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert service(other)["healthcheck"]["test"]


def test_the_swarm_waits_for_the_chat_and_the_workers_for_the_master() -> None:
    assert service("locust")["depends_on"]["backend"]["condition"] == "service_healthy"
    assert service("worker")["depends_on"]["locust"]["condition"] == "service_healthy"


def test_the_worker_can_be_scaled() -> None:
    found = service("worker")
    assert not found.get("ports")
    assert not found.get("container_name")


@EVERY
def test_it_has_a_memory_limit_and_only_monitoring_has_a_cpu_limit(name: str) -> None:
    limits: dict[str, Any] = service(name)["deploy"]["resources"]["limits"]
    assert int(limits["memory"]) > 0
    assert ("cpus" in limits) == (name in ("prometheus", "grafana"))


def test_a_finished_run_is_not_restarted() -> None:
    assert {name: service(name)["restart"] for name in [*OURS, *OTHERS]} == {
        "backend": "unless-stopped",
        "locust": "no",
        "worker": "unless-stopped",
        "toxiproxy": "unless-stopped",
        "prometheus": "unless-stopped",
        "grafana": "unless-stopped",
    }


def test_it_contains_no_secret() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"(?i)password|token\b|api_?key|secret_key", text)
    assert "secrets" not in resolved()
