"""The OpenAPI document is complete and true. described.py also validates every response in other tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from chatswarm.backend import settings as settings_module
from chatswarm.backend.app import create_app
from chatswarm.backend.endpoints.openapi import document
from chatswarm.backend.endpoints.operations import SOCKET, operations
from chatswarm.backend.endpoints.push_operations import push_operations
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.push_app import create_push_app
from chatswarm.backend.settings import Settings
from tests.backend.described import EVERYTHING, PUSH
from tests.backend.push import running_push
from tests.backend.servers import Backend, clean_environment, running

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
OWN = ("/openapi.json", "/docs", "/docs/{name}")
"""Paths of the documentation itself, which are not described."""


def routes(settings: Settings) -> Iterator[tuple[str, str]]:
    """Method and path of all routes of the app."""
    create = create_push_app if settings.push else create_app
    for route in create(settings, Sockets(1, 1)).routes:
        assert isinstance(route, Route | WebSocketRoute)
        path = re.sub(r":\w+\}", "}", route.path)
        methods = route.methods or () if isinstance(route, Route) else ("GET",)
        yield from ((method, path) for method in methods if path not in OWN)


@pytest.mark.parametrize("push", [False, True], ids=["reference", "push"])
def test_every_route_is_described_and_nothing_else(tmp_path: Path, push: bool) -> None:
    settings = replace(PUSH if push else Settings(), database=tmp_path / "a.db")
    described = push_operations(settings) if push else operations(settings)
    found = {(method, path) for method, path in routes(settings) if method != "HEAD"}
    assert found == {(each.method, each.path) for each in described}
    assert {path for method, path in routes(settings) if method == "HEAD"} == {
        each.path for each in described if each.method == "GET"
    }


def statuses(settings: Settings) -> dict[str, set[str]]:
    """The described statuses, by operation."""
    return {
        operation["operationId"]: set(operation["responses"])
        for path in document(settings)["paths"].values()
        for operation in path.values()
    }


def test_responses_that_depend_on_settings_are_described_if_set() -> None:
    plain = statuses(Settings())
    assert plain["sendFromDashboard"] == {"200", "400", "404", "408", "413", "500", "503"}
    assert plain["connectDashboard"] == {"101", "400", "408", "426", "503"}
    limited = statuses(replace(Settings(), sends_per_second=2.0))
    assert {name for name in plain if limited[name] != plain[name]} == {"sendFromWidget", "sendFromDashboard"}
    assert limited["sendFromWidget"] - plain["sendFromWidget"] == {"429"}
    secured = replace(Settings(), dashboard_tokens=EVERYTHING.dashboard_tokens)
    guarded = {name for name, found in statuses(secured).items() if "401" in found}
    assert guarded == {"listChats", "getChat", "sendFromDashboard", "connectDashboard"}
    said = document(secured)
    assert said["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    operations_ = [operation for path in said["paths"].values() for operation in path.values()]
    assert {each["operationId"] for each in operations_ if "security" in each} == guarded
    assert statuses(replace(Settings(), origins=EVERYTHING.origins))["connectDashboard"] >= {"403"}


def test_limits_match_the_settings() -> None:
    said = document(Settings(max_message_length=77, list_size=5, max_frame_size=1234))
    send = said["paths"]["/api/users/chats/{chat_id}/send"]["post"]
    for content in send["requestBody"]["content"].values():
        assert content["schema"]["allOf"][1]["properties"]["content"]["maxLength"] == 77
    (limit,) = (
        each for each in said["paths"]["/api/debug/users-chats"]["get"]["parameters"] if each["name"] == "limit"
    )
    assert "without it 5" in limit["description"]
    assert "1234 bytes" in said["paths"][SOCKET]["get"]["description"]


@pytest.mark.parametrize("settings", [EVERYTHING, PUSH], ids=["reference", "push"])
def test_every_reference_resolves(settings: Settings) -> None:
    said = document(settings)
    found = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(said))
    unused = {"PushRefusal" if settings.push else "Refusal"}
    assert set(found) | unused == set(said["components"]["schemas"])


def test_the_push_chats_document_follows_its_settings() -> None:
    keyless = statuses(replace(PUSH, push_key=None, sends_per_second=None, origins=None))
    keyed = statuses(PUSH)
    assert {name for name in keyed if keyed[name] - keyless[name] >= {"403"}} == {
        "logIn",
        "putRoom",
        "addMember",
        "removeMember",
        "connect",
    }
    assert keyed["postMessage"] - keyless["postMessage"] == {"429"}
    assert keyed["postMessage"] == {"201", "400", "401", "403", "404", "408", "413", "429", "500", "503"}
    schemes = {"type": "http", "scheme": "bearer"}
    assert document(PUSH)["components"]["securitySchemes"] == {"key": schemes, "token": schemes}


def test_the_push_chat_serves_its_document_and_the_page(tmp_path: Path) -> None:
    with running(tmp_path, "--push") as backend:
        said = backend.http.get("/openapi.json").json()
        assert said["info"]["title"] == "chatswarm push chat"
        assert set(said["paths"]) == {each.path for each in push_operations(replace(PUSH, push_key=None))}
        assert backend.http.get("/docs").status_code == 200


def test_it_is_served_and_matches_fastapis(shared: Backend) -> None:
    answer = shared.http.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == document(Settings(port=shared.port))
    assert create_app(Settings(), Sockets(1, 1)).openapi() == document(Settings())


def test_when_off_neither_document_nor_page_is_served(tmp_path: Path) -> None:
    with running(tmp_path, "--api-docs", "off") as backend:
        for path in ("/openapi.json", "/docs", "/docs/docs.js", "/redoc"):
            assert backend.http.get(path).status_code == 404
        assert backend.send(backend.new_chat(), "x").status_code == 200
    assert settings_module.read_settings([], {"CHATSWARM_API_DOCS": "off"}).api_docs is False
    with pytest.raises(settings_module.SettingsError, match="--api-docs: expected 'on' or 'off', got 'no'"):
        settings_module.read_settings(["--api-docs", "no"], {})


class TestThePage:
    def test_its_policy_allows_no_external_resources(self, shared: Backend) -> None:
        answer = shared.http.get("/docs")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
        assert policy["require-trusted-types-for"] == "'script'"

    def test_all_its_files_are_served_and_refer_to_nothing_external(self, shared: Backend) -> None:
        waiting, seen = ["/docs"], set()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = shared.http.get(path)
            assert answer.status_code == 200, path
            assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", ""), path
            found = re.findall(r'(?:href|src)="(docs/[^"]+)"|from "\./([^"]+)"', answer.text)
            waiting += [f"/{page}" if page else f"/docs/{module}" for page, module in found]
        assert {"/docs/docs.js", "/docs/docs.css", "/docs/base.css", "/docs/dom.js"} <= seen

    @pytest.mark.parametrize("name", ["nothing", "docs.html", "inbox.html", "__init__.py", "..%2FREADME.md", "%00"])
    def test_nothing_else_is_there(self, shared: Backend, name: str) -> None:
        assert shared.http.get(f"/docs/{name}").status_code == 404


def test_a_customer_with_a_slash_in_the_email_can_be_read(shared: Backend) -> None:
    shared.new_chat("sales/eu@example.org")
    answer = shared.http.get("/api/users/sales%2Feu@example.org/chats")
    assert answer.json()["user_email"] == "sales/eu@example.org"


def test_a_plain_request_to_the_dashboards_path_is_426(shared: Backend) -> None:
    answer = shared.http.get(SOCKET)
    assert (answer.status_code, answer.headers["Upgrade"]) == (426, "websocket")
    assert "expected the handshake of a WebSocket" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/health", "/metrics", "/api/debug/users-chats", SOCKET, "/openapi.json", "/docs"])
def test_every_get_also_supports_head(shared: Backend, path: str) -> None:
    head, whole = shared.http.head(path), shared.http.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def strict(spec: dict[str, Any]) -> dict[str, Any]:
    """The document with all undescribed fields in responses forbidden."""
    for operation in [operation for path in spec["paths"].values() for operation in path.values()]:
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                _forbid_more(content["schema"], spec["components"]["schemas"])
    return spec


def _forbid_more(schema: Any, schemas: Mapping[str, Any]) -> None:
    if isinstance(schema, list):
        for each in schema:
            _forbid_more(each, schemas)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            _forbid_more(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
        for each in schema.values():
            _forbid_more(each, schemas)


GUARDED = (
    "--sends-per-second",
    "20",
    "--max-message-length",
    "300",
    "--workers",
    "2",
    "--origins",
    "https://a.example",
)


def fuzzed(backend: Backend, folder: Path, token: str | None) -> subprocess.CompletedProcess[str]:
    """What Schemathesis says about a backend."""
    spec = folder / "openapi.json"
    spec.write_text(json.dumps(strict(backend.http.get("/openapi.json").json())))
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", str(spec)),
            *("--url", f"http://127.0.0.1:{backend.port}", "--max-examples", "10", "--no-color"),
            *(("--header", f"Authorization: Bearer {token}") if token else ()),
        ],
        cwd=folder,
        env={**clean_environment(), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize(("flags", "token"), [((), None), (GUARDED, "s3cret")], ids=["open", "guarded"])
def test_a_fuzzer_finds_nothing_undescribed(tmp_path: Path, flags: tuple[str, ...], token: str | None) -> None:
    """Schemathesis: no 5xx; every status, header, content type and body as described; valid requests are accepted,
    invalid ones refused, and other methods get 405. Links lead to chats that exist.
    """
    if token is not None:
        (tmp_path / "tokens").write_text(token)
        flags = (*flags, "--dashboard-token-file", str(tmp_path / "tokens"))
    with running(tmp_path, *flags) as backend:
        done = fuzzed(backend, tmp_path, token)
        assert done.returncode == 0, re.sub(r"(.)\1{99,}", r"\1…", done.stdout + done.stderr)
        assert "Selected: 10/10" in done.stdout
        assert re.search(r"API Links: +4 covered", done.stdout), done.stdout
        assert "Traceback" not in backend.errors
        accepted = re.findall(
            r"^chat_messages_accepted_total\{.*\} (\S+)$", backend.http.get("/metrics").text, re.MULTILINE
        )
        assert sum(map(float, accepted)) > 0, "no chat was reached"


@pytest.mark.parametrize("flags", [(), ("--workers", "2", "--sends-per-second", "20")], ids=["alone", "workers"])
def test_a_fuzzer_finds_nothing_undescribed_in_the_push_chat(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The same for the push chat, whose rooms anybody may change here, so that valid requests are accepted."""
    with running_push(tmp_path, *flags) as push:
        push.room("kitchen", "ann")
        done = fuzzed(push.backend, tmp_path, push.token("ann"))
        assert done.returncode == 0, re.sub(r"(.)\1{99,}", r"\1…", done.stdout + done.stderr)
        assert "Selected: 9/9" in done.stdout
        assert "Traceback" not in push.backend.errors
