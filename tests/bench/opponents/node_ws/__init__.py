"""Starts a chat on Node.js and its usual package for WebSockets, `ws`."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from chatswarm.loadtests.system.children import free_port
from tests.bench.chat_servers import ChatServer, guide_wire, process
from tests.bench.opponents.install import node_packages, on_path

_CHAT = str(UUID(int=0))


@contextmanager
def node_ws() -> Iterator[ChatServer]:
    """The chat, in memory. Raises NotMeasuredError."""
    port, modules = free_port(), node_packages("node_ws")
    command = [on_path("node"), str(Path(__file__).with_name("chat.js")), str(port)]
    with process(command, port, {"NODE_PATH": str(modules)}) as pid:
        yield ChatServer(pid, port, guide_wire(_CHAT))


def node_ws_versions() -> Mapping[str, str]:
    """The versions of Node.js and ws. Raises NotMeasuredError."""
    about = json.loads((node_packages("node_ws") / "ws" / "package.json").read_text())
    node = subprocess.run([on_path("node"), "--version"], capture_output=True, text=True, check=True).stdout
    return {"Node.js": node.strip().removeprefix("v"), "ws": about["version"]}
