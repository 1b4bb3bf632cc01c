"""What Locust is not to hear when `chatswarm run` starts it."""

from pathlib import Path

from chatswarm.loadtests.swarm.locust.launch import forget_foreign


def test_what_is_meant_for_other_programs_is_forgotten() -> None:
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


def test_a_file_for_keys_is_forgotten_only_where_it_cannot_be_written(tmp_path: Path) -> None:
    """Importing Locust would fail: the run would end with an internal error."""
    for path, kept in {tmp_path / "keys": True, tmp_path / "none" / "keys": False, tmp_path: False}.items():
        environment = {"SSLKEYLOGFILE": str(path)}
        forget_foreign(environment)
        assert ("SSLKEYLOGFILE" in environment) == kept
