"""The reference chat, started as for a run."""

import http.client
from pathlib import Path

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend


def test_a_flag_can_be_on_or_off(tmp_path: Path) -> None:
    statuses = []
    for api_docs in (True, False):
        chat = ReferenceBackend(tmp_path / "log", tmp_path / "chat.db", free_port(), {"api_docs": api_docs})
        try:
            chat.wait()
            address = parse_address(chat.base_url)
            connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
            connection.request("GET", "/openapi.json")
            statuses.append(connection.getresponse().status)
            connection.close()
        finally:
            chat.stop()
    assert statuses == [200, 404]
