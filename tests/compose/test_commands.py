"""The services' commands: the programs in this repository accept every flag."""

import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.backend.settings import SettingsError, read_settings

from .resolved import ROOT, ports_inside, service


def locust(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Locust reads the command line and the locustfile, lists the users and exits."""
    command = [sys.executable, "-m", "locust", *arguments, "--list"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)


def following(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_the_backend_accepts_its_command(tmp_path: Path) -> None:
    program, *command = service("backend")["command"]
    assert (program, command[0]) == ("chatswarm", "serve")
    folder, file = following(command, "--database").removeprefix("sqlite:///").rsplit("/", 1)
    assert folder in {volume["target"] for volume in service("backend")["volumes"]}
    settings = read_settings([word.replace(f"{folder}/", f"{tmp_path}/") for word in command[1:]], {})
    assert settings.database == tmp_path / file
    assert settings.host == "0.0.0.0"
    assert settings.port in ports_inside("backend")


def test_a_wrong_flag_of_the_backend_would_be_noticed() -> None:
    with pytest.raises(SettingsError):
        read_settings(["--hots", "0.0.0.0"], {})


@pytest.mark.parametrize("name", ["locust", "worker"])
def test_locust_accepts_its_command(name: str) -> None:
    program, *command = service(name)["command"]
    assert program == "locust"
    done = locust(*command)
    assert done.returncode == 0, done.stderr
    assert "DashboardUser" in done.stdout


def test_a_wrong_flag_of_locust_would_be_noticed() -> None:
    assert locust("-f", "loadtests/locustfile.py", "--masterful").returncode == 2


def test_the_locustfile_is_at_the_commands_path_in_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name in ("locust", "worker"):
        file = following(service(name)["command"], "-f")
        assert (ROOT / file).is_file()
        assert f"COPY {file} ./{file}" in dockerfile
    assert "WORKDIR /srv/chatswarm" in dockerfile


def test_the_swarm_finds_the_chat_and_the_workers_their_master() -> None:
    host, port = following(service("locust")["command"], "--host").removeprefix("http://").split(":")
    assert int(port) in ports_inside(host)
    assert following(service("worker")["command"], "--master-host") == "locust"
    assert "--master" in service("locust")["command"]


def test_master_and_workers_see_the_same_runs() -> None:
    """They see the same boot id, so a worker treats the run's folder as local and writes its history into it."""
    runs = [[(v["source"], v["target"]) for v in service(name)["volumes"]] for name in ("locust", "worker")]
    assert runs[0] == runs[1] == [("runs", "/srv/chatswarm/runs")]
