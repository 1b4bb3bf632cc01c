"""What docker-compose.yml promises of all its services: pinned, closed to the outside, read-only, nothing secret."""

import re
from pathlib import Path
from typing import Any

import pytest

from .resolved import OTHERS, OURS, ROOT, docker_compose, resolved, service

EVERY = pytest.mark.parametrize("name", [*OURS, *OTHERS])


def test_the_services_are_these() -> None:
    assert set(resolved()["services"]) == {*OURS, *OTHERS}


def test_compose_itself_finds_nothing_to_complain_of() -> None:
    done = docker_compose("config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_itself_would_find_what_is_wrong(tmp_path: Path) -> None:
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
def test_only_this_machine_reaches_what_is_published(name: str) -> None:
    assert {port.get("host_ip") for port in service(name).get("ports", [])} <= {"127.0.0.1"}
    assert service(name).get("network_mode") is None


def test_nothing_is_published_twice_and_what_people_open_is_where_the_readme_says() -> None:
    published = [int(port["published"]) for each in resolved()["services"].values() for port in each.get("ports", [])]
    assert sorted(published) == [3000, 3001, 8000, 8089, 8474, 8666, 9090]


@EVERY
def test_it_can_change_nothing_but_its_volumes(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert not found.get("cap_add")
    assert not found.get("privileged")
    for volume in found.get("volumes", []):
        assert volume["type"] == "volume" or volume.get("read_only") is True, f"{name} may write to {volume['source']}"


@EVERY
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in service(name).get("volumes", []):
        if volume["type"] == "bind":
            assert Path(volume["source"]).exists(), f"{name} mounts {volume['source']}"
            assert Path(volume["source"]).is_relative_to(ROOT)
            assert volume["bind"]["create_host_path"] is False, "an empty folder would be mounted in its place"
        else:
            assert volume["source"] in resolved()["volumes"]


@EVERY
def test_what_it_waits_for_can_be_waited_for(name: str) -> None:
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
def test_it_has_a_limit_of_memory_and_only_watchers_have_one_of_cpu(name: str) -> None:
    limits: dict[str, Any] = service(name)["deploy"]["resources"]["limits"]
    assert int(limits["memory"]) > 0
    assert ("cpus" in limits) == (name in ("prometheus", "grafana"))


def test_a_verdict_is_not_restarted_away() -> None:
    assert {name: service(name)["restart"] for name in [*OURS, *OTHERS]} == {
        "backend": "unless-stopped",
        "locust": "no",
        "worker": "unless-stopped",
        "toxiproxy": "unless-stopped",
        "prometheus": "unless-stopped",
        "grafana": "unless-stopped",
    }


def test_it_holds_no_secret() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"(?i)password|token\b|api_?key|secret_key", text)
    assert "secrets" not in resolved()
