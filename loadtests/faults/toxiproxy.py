"""A client of Toxiproxy's HTTP API: it drives our own fault proxy, and a real Toxiproxy by the same calls."""

import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from .error import FaultError

_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How well the proxy's process kept up: when its loop woke and how late, its CPU over the span before `time`."""

    samples: list[tuple[float, float]]
    time: float
    cpu: float


class Toxiproxy:
    """The API at a URL. Every call raises FaultError if it is not answered as it should be. Threads may share it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise FaultError(f"expected the URL of Toxiproxy's API, such as http://127.0.0.1:8474, got {url!r}")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self._port = parts.port or 8474
        self._addresses: dict[str, tuple[str, int]] = {}  # where proxies listen
        version = self._call("GET", "/version")
        # Older ones answer in plain text.
        self.version = str(version["version"] if isinstance(version, dict) else version).strip()
        if not re.match(r"v?\d+\.", self.version):
            raise FaultError(f"{self.url}/version: expected Toxiproxy's version, got {self.version[:60]!r}")
        self.has_evidence = self.version.endswith("+chatswarm")

    def create(self, name: str, upstream: str) -> tuple[str, int]:
        """A proxy to `upstream` (host:port). Returns where it listens."""
        local = self.host in ("127.0.0.1", "localhost", "::1")
        made = self._call(
            "POST",
            "/proxies",
            {"name": name, "listen": f"{'127.0.0.1' if local else '0.0.0.0'}:0", "upstream": upstream},
        )
        address = self.host, int(str(made["listen"]).rpartition(":")[2])
        self._addresses[name] = address
        return address

    def enable(self, name: str, enabled: bool) -> None:
        """Takes it down, which cuts and refuses connections, or up again."""
        self._call("POST", self._path(name), {"enabled": enabled})

    def add(self, proxy: str, toxic: str, kind: str, stream: str, toxicity: float, values: dict[str, int]) -> None:
        """Applies a toxic to the proxy's connections, open ones as well."""
        body = {"name": toxic, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": values}
        self._call("POST", f"{self._path(proxy)}/toxics", body)

    def remove(self, proxy: str, toxic: str) -> None:
        self._call("DELETE", f"{self._path(proxy)}/toxics/{quote(toxic, safe='')}")

    def toxics(self, proxy: str) -> list[str]:
        """The names of the toxics that a proxy has now."""
        return [toxic["name"] for toxic in self._call("GET", f"{self._path(proxy)}/toxics")]

    def refuses(self, proxy: str) -> bool:
        """Whether nobody listens where it did."""
        try:
            socket.create_connection(self._addresses[proxy], _TIMEOUT).close()
        except OSError:
            return True
        return False

    def evidence(self, proxy: str) -> dict[str, Any]:
        """What it and its toxics have done, counted. Only our own proxy tells."""
        return dict(self._call("GET", f"{self._path(proxy)}/evidence"))

    def lag(self) -> Lag:
        """Since the last call. Only our own proxy tells."""
        found = self._call("GET", "/lag")
        return Lag([(time, lag) for time, lag in found["samples"]], found["time"], found["cpu"])

    def proxy_url(self, proxy: str) -> str:
        """Where a proxy is to be deleted."""
        return self.url + self._path(proxy)

    @staticmethod
    def _path(proxy: str) -> str:
        return f"/proxies/{quote(proxy, safe='')}"

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - as JSON has it
        connection = http.client.HTTPConnection(self.host, self._port, timeout=_TIMEOUT)
        try:
            # Toxiproxy refuses what looks like a browser.
            headers = {"User-Agent": "chatswarm", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise FaultError(
                f"{self.url}{path}: expected Toxiproxy's API, got {str(error) or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            said = data[:300].decode(errors="replace")
            raise FaultError(f"{self.url}{path}: expected a 2xx for {method}, got {answer.status}: {said}")
        try:
            return json.loads(data) if data else None
        except ValueError:
            return data.decode(errors="replace")
