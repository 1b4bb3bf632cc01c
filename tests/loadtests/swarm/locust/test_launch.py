"""Environment variables that are removed before `chatswarm run` starts Locust."""

from pathlib import Path

from chatswarm.loadtests.swarm.locust.launch_environment import forget_foreign


def test_variables_for_other_programs_are_removed() -> None:
    theirs = [
        "LOCUST_RUN_TIME", "LOCUST_USERS", "LOCUST_USER_CLASSES", "LOCUST_MODE_WORKER", "LOCUST_SKIP_LOG_SETUP",
        "GEVENT_RESOLVER", "GEVENT_LOOP", "GREENLET_USE_GC", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir",
        "http_proxy", "HTTPS_PROXY", "all_proxy", "NO_PROXY", "CHATSWARM_METRICS_PORT", "CHATSWARM_METRICS_HOST",
    ]  # fmt: skip
    ours = [
        "CHATSWARM_TOKEN",
        "CHATSWARM_PROGRESS_FD",
        "CHATSWARM_LIFELINE_FD",
        "SSL_CERT_FILE",
        "PATH",
        "HOME",
        "LANG",
    ]
    environment = dict.fromkeys(theirs + ours, "value")
    forget_foreign(environment)
    assert sorted(environment) == sorted(ours)


def test_sslkeylogfile_is_removed_only_if_it_cannot_be_written(tmp_path: Path) -> None:
    """Importing Locust would fail, and the run would end with an internal error."""
    for path, kept in {tmp_path / "keys": True, tmp_path / "none" / "keys": False, tmp_path: False}.items():
        environment = {"SSLKEYLOGFILE": str(path)}
        forget_foreign(environment)
        assert ("SSLKEYLOGFILE" in environment) == kept
