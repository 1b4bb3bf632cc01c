from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from chatswarm.backend.settings import FIELDS, BusAddress, Settings, SettingsError, read_settings

from .servers import COMMAND, PATIENCE, clean_environment

URLS = "sqlite:////absolute/file.db or sqlite:///relative.db"


def refused(*arguments: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments, environment)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_are_those_of_the_settings() -> None:
    settings = read_settings([], {})
    assert settings == Settings(database=Path("chatswarm.db").absolute())


def test_flags_win_over_environment_over_defaults() -> None:
    settings = read_settings(["--port", "1"], {"CHATSWARM_PORT": "2", "CHATSWARM_HOST": "::1"})
    assert (settings.port, settings.host, settings.grace) == (1, "::1", 5.0)


def test_an_empty_variable_is_not_set_and_an_empty_flag_is_wrong() -> None:
    assert read_settings([], {field.variable: "" for field in FIELDS}) == read_settings([], {})
    assert refused("--port", "") == ["--port: expected a whole number from 0 to 65535, got nothing"]


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:8000", "udp://10.0.0.1:53", "tcp://[fd00::1]:8000"])
def test_links_to_services_are_no_ports(link: str) -> None:
    """Kubernetes and Docker set these for a Service, or a container, called chatswarm or chatswarm-pages."""
    services = {
        "CHATSWARM_PORT": link,
        "CHATSWARM_PORT_8000_TCP": link,
        "CHATSWARM_PORT_8000_TCP_PORT": "8000",
        "CHATSWARM_SERVICE_HOST": "10.0.0.1",
        "CHATSWARM_SERVICE_PORT": "8000",
        "CHATSWARM_PAGES_PORT": link,
        "CHATSWARM_BUS_PORT": link,
        "CHATSWARM_HOST_PORT": link,
    }
    assert read_settings([], services) == read_settings([], {})
    assert refused("--port", link) == [f"--port: expected a whole number from 0 to 65535, got '{link}'"]


def test_no_setting_has_a_name_that_kubernetes_sets() -> None:
    endings = r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|NAME|ENV_.*)"
    assert [field.variable for field in FIELDS if re.fullmatch(endings, field.variable)] == []


@pytest.mark.parametrize("text", ["abc", "http://x", "8000/tcp", "tcp://10.0.0.1"])
def test_a_value_that_is_neither_a_link_nor_a_port_is_refused(text: str) -> None:
    expected = "expected a whole number from 0 to 65535"
    assert refused(CHATSWARM_PORT=text) == [f"CHATSWARM_PORT: {expected}, got '{text}'"]


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), ("5s", 5.0), ("50ms", 0.05), ("0.5s", 0.5), ("0", 0.0)])
def test_times_have_units(text: str, seconds: float) -> None:
    field = "--join-window" if seconds < 0.1 else "--grace"
    settings = read_settings([field, text], {}) if seconds <= 1 else read_settings(["--grace", text], {})
    assert seconds in (settings.join_window, settings.grace)


def test_rate_limit_is_off_unless_asked_for() -> None:
    """Promise 8."""
    assert read_settings([], {}).sends_per_second is None
    assert read_settings(["--sends-per-second", "2.5"], {}).sends_per_second == 2.5
    assert read_settings(["--sends-per-second=off"], {}).sends_per_second is None


def test_origins_are_as_browsers_say_them() -> None:
    assert read_settings([], {}).origins is None
    text = "https://Chat.example, http://localhost:3000,https://a.example:443,http://[::1]:80"
    assert read_settings(["--origins", text], {}).origins == frozenset(
        ["https://chat.example", "http://localhost:3000", "https://a.example", "http://[::1]"]
    )


@pytest.mark.parametrize(
    "text", ["", "*", "chat.example", "https://a.example/", "https://a.example,", "ftp://a", "null"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    assert refused("--origins", text)[0].startswith("--origins: expected 'any' or origins such as ")


class TestTokenFile:
    """Promise 8: secrets never in an error."""

    EXPECTED = "expected 'off' or a readable file with one token in each line: letters, digits and -._~+/="

    def test_one_token_a_line(self, tmp_path: Path) -> None:
        assert read_settings([], {}).dashboard_tokens is None
        (tmp_path / "tokens").write_text("first\n\n second \r\n")
        for settings in (
            read_settings(["--dashboard-token-file", str(tmp_path / "tokens")], {}),
            read_settings([], {"CHATSWARM_DASHBOARD_TOKEN_FILE": str(tmp_path / "tokens")}),
        ):
            assert settings.dashboard_tokens is not None
            for token, known in (("first", True), ("second", True), ("third", False), ("", False)):
                assert settings.dashboard_tokens.accept([(b"authorization", f"Bearer {token}".encode())]) is known
            assert "first" not in repr(settings)

    @pytest.mark.parametrize(
        ("content", "got"),
        [
            (b"", "a file without a token"),
            (b" \n\n", "a file without a token"),
            (b"s3cret\ns3cret with spaces\n", "something else as token 2 of 2"),
            (b"s3cret\xff", "one that cannot be read: not text"),
            ("s3cret\n".encode("utf-16"), "one in UTF-16: save it as UTF-8"),
            ("\ufeffs3cret\n".encode("utf-16-be"), "one in UTF-16: save it as UTF-8"),
            ("s3cret\n".encode("utf-16-le"), "something else as token 1 of 2"),
            (b"s3cret\n" * 10_000, "one of more than 65536 bytes"),
        ],
    )
    def test_files_without_valid_tokens_are_refused_without_repeating_them(
        self, tmp_path: Path, content: bytes, got: str
    ) -> None:
        (tmp_path / "tokens").write_bytes(content)
        problem = f"--dashboard-token-file: {self.EXPECTED}, got {got}"
        assert refused("--dashboard-token-file", str(tmp_path / "tokens")) == [problem]

    def test_a_byte_order_mark_is_not_part_of_the_token(self, tmp_path: Path) -> None:
        (tmp_path / "tokens").write_bytes(b"\xef\xbb\xbffirst\r\nsecond\r\n")
        tokens = read_settings(["--dashboard-token-file", str(tmp_path / "tokens")], {}).dashboard_tokens
        assert tokens is not None
        assert all(tokens.accept([(b"authorization", b"Bearer " + each)]) for each in (b"first", b"second"))

    def test_a_token_in_place_of_its_file_is_not_repeated(self, tmp_path: Path) -> None:
        variable = "CHATSWARM_DASHBOARD_TOKEN_FILE"
        got = f"{variable}: {self.EXPECTED}, got one that cannot be read: No such file or directory"
        assert refused(**{variable: str(tmp_path / "s3cret")}) == [got]
        assert refused("--dashboard-token-file", str(tmp_path)) == [
            f"--dashboard-token-file: {self.EXPECTED}, got one that cannot be read: Is a directory"
        ]


def test_database_urls_have_four_slashes_or_three(tmp_path: Path) -> None:
    assert read_settings(["--database", f"sqlite:///{tmp_path}/a.db"], {}).database == tmp_path / "a.db"
    assert read_settings(["--database", "sqlite:///a.db"], {}).database == Path.cwd() / "a.db"


def test_all_problems_are_reported_at_once() -> None:
    arguments = ["--port", "70000", "--grace", "soon", "--database", "oracle://x", "--list-size", "--colour", "red"]
    assert refused(*arguments, CHATSWARM_HOST="a b", CHATSWARM_BUFFER_LIMIT="-1") == [
        "command line: expected only known flags (see --help), got '--colour'",
        "command line: expected only known flags (see --help), got 'red'",
        "CHATSWARM_HOST: expected a host name or address, got 'a b'",
        "--port: expected a whole number from 0 to 65535, got '70000'",
        f"--database: expected {URLS}, got 'oracle://…', which is not supported",
        "CHATSWARM_BUFFER_LIMIT: expected a whole number from 4096 to 1073741824, got '-1'",
        "--list-size: expected a whole number from 1 to 10000, got nothing",
        "--grace: expected a time from 0.5s to 600s, such as 5s or 50ms, got 'soon'",
    ]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?x", "a.db", ""])
def test_databases_that_are_no_file_are_refused(url: str) -> None:
    assert refused("--database", url)[0].startswith("--database: expected ")


def test_a_database_in_no_folder_or_that_is_one_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "a.db", tmp_path):
        assert "expected a file in a folder that exists" in refused("--database", f"sqlite:///{path}")[0]


def test_a_database_with_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (problem,) = refused("--database", f"sqlite:///{tmp_path}/{'x' * 300}.db")
    assert problem.endswith(": File name too long")


def test_a_database_below_a_folder_that_was_removed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    (problem,) = refused()
    assert problem.startswith("--database: expected a file in a folder that exists, got 'sqlite:///chatswarm.db': ")


def test_a_password_is_not_repeated() -> None:
    """Promise 8: secrets never in an error."""
    (problem,) = refused("--database", "postgresql://chat:s3cret@db/chat")
    assert "s3cret" not in problem
    assert "not supported" in problem


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://broker:7000/3", BusAddress("broker", 7000, 3)),
        ("redis://broker", BusAddress("broker", 6379, 0)),
        ("redis://[::1]:1/", BusAddress("::1", 1, 0)),
        ("redis://:pa%2Fss@broker:1", BusAddress("broker", 1, 0, None, "pa/ss")),
        ("redis://ann:pass@broker:1", BusAddress("broker", 1, 0, "ann", "pass")),
        ("off", None),
    ],
)
def test_a_bus_is_a_url(url: str, expected: BusAddress | None) -> None:
    assert read_settings(["--bus", url], {}).bus == expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "broker:6379",
        "http://x:s3cret@b",
        "redis://b/s3cret",
        "redis://b:0",
        "redis://b:s3cret",
        "redis://b?x",
    ],
)
def test_a_wrong_bus_is_refused_and_not_repeated(url: str) -> None:
    assert refused("--bus", url) == [
        "--bus: expected 'off' or redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], got something else"
    ]


def test_a_bus_is_shown_without_its_password() -> None:
    settings = read_settings(["--bus", "redis://ann:s3cret@[::1]:1/2"], {})
    assert str(settings.bus) == "redis://[::1]:1/2"
    assert "s3cret" not in repr(settings)
    assert "ann" not in repr(settings)


def test_a_lifeline_must_be_open() -> None:
    read, write = os.pipe()
    assert read_settings(["--lifeline-fd", str(read)], {}).lifeline_fd == read
    os.close(read)
    os.close(write)
    assert refused("--lifeline-fd", str(read)) == [
        f"--lifeline-fd: expected the number of an inherited open pipe, got '{read}'"
    ]


def test_every_setting_has_a_field() -> None:
    # Users' tokens follow from other settings.
    found = [name for name in Settings.__dataclass_fields__ if name != "user_tokens"]
    assert [field.name for field in FIELDS] == found


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *flags], capture_output=True, text=True, timeout=PATIENCE, env=clean_environment(), check=False
    )


def test_wrong_settings_end_with_2_before_anything_starts(tmp_path: Path) -> None:
    ended = run("--database", f"sqlite:///{tmp_path}/a.db", "--port", "x", "--grace", "x")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 2
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_flag_but_the_hidden_one() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for field in FIELDS:
        shown = field.variable if field.secret else field.flag
        assert (shown in ended.stdout) != field.hidden
        assert field.flag not in ended.stdout or not field.secret


def test_a_port_that_is_taken_is_a_plain_refusal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port), "--database", f"sqlite:///{tmp_path}/a.db")
    assert ended.returncode == 2
    assert ended.stderr.startswith("--host, --port: expected an address that is free to listen on, got 127.0.0.1:")


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    before = path.read_bytes()
    ended = run("--database", f"sqlite:///{path}")
    assert (ended.returncode, ended.stderr) == (
        2,
        f"--database: {path}: expected a chatswarm database, got one with application id 0\n",
    )
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear customer, " * 100)
    ended = run("--database", f"sqlite:///{path}")
    assert ended.returncode == 2
    assert "expected a chatswarm database, got: file is not a database" in ended.stderr


class TestPush:
    def test_the_flag_needs_no_value_and_the_variable_says_on(self) -> None:
        for settings in (
            read_settings(["--push"], {}),
            read_settings(["--push", "on", "--port", "1"], {}),
            read_settings(["--push", "--port", "1"], {}),
            read_settings([], {"CHATSWARM_PUSH": "on"}),
        ):
            assert settings.push
            assert settings.user_tokens is not None
            assert settings.pages_port is None
        for off in (read_settings([], {}), read_settings(["--push", "off"], {"CHATSWARM_PUSH": "on"})):
            assert not off.push
            assert off.user_tokens is None
        assert refused("--push", "yes") == ["--push: expected 'on' or 'off', got 'yes'"]

    def test_the_service_key_is_a_variable_only_and_never_shown(self) -> None:
        """Promise 8."""
        settings = read_settings(["--push"], {"CHATSWARM_PUSH_KEY": "hidden"})
        assert settings.push_key is not None
        assert settings.push_key.match(b"hidden")
        assert "hidden" not in repr(settings)
        (problem,) = refused("--push", CHATSWARM_PUSH_KEY="hidden key")
        assert problem == "CHATSWARM_PUSH_KEY: expected 1 to 1000 letters, digits and -._~+/=, got something else"
        assert refused("--push-key", "k")

    def test_tokens_are_the_same_for_the_same_key_and_differ_without_one(self) -> None:
        def secret_of(**environment: str) -> str:
            tokens = read_settings(["--push"], environment).user_tokens
            assert tokens is not None
            return tokens.issue("ann", 0.0)

        assert secret_of(CHATSWARM_PUSH_KEY="a") == secret_of(CHATSWARM_PUSH_KEY="a")
        assert secret_of(CHATSWARM_PUSH_KEY="a") != secret_of(CHATSWARM_PUSH_KEY="b")
        assert secret_of() != secret_of()

    def test_what_only_the_reference_chat_has_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tokens").write_text("token")
        found = refused("--push", "--pages-port", "3001", "--dashboard-token-file", str(tmp_path / "tokens"))
        assert found == [
            "--dashboard-token-file: expected off with --push, whose users have tokens of their own, got a file",
            "--pages-port: expected auto or off with --push, which has no pages, got '3001'",
        ]
