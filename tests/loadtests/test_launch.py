"""What Locust is not to hear when `chatswarm run` starts it."""

from chatswarm.loadtests.swarm.launch import forget_foreign


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
