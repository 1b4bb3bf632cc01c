"""What a person does on Locust's page, and what it shows, without a browser."""

import json
import re
import urllib.parse
import urllib.request
from typing import Any

from chatswarm.loadtests.system.children import free_port


class Page:
    """What a person does on Locust's page."""

    def __init__(self, target: str) -> None:
        self.port = free_port()
        self.args = ["--web-host", "127.0.0.1", "--web-port", str(self.port), "--host", target]
        self.url, self._target = f"http://127.0.0.1:{self.port}", target

    def there(self) -> bool:
        try:
            return bool(urllib.request.urlopen(self.url, timeout=5).status == 200)
        except OSError:
            return False

    def form(self) -> set[str]:
        """The names of the custom parameters in its form."""
        page = urllib.request.urlopen(self.url, timeout=10).read().decode()
        (arguments,) = re.findall(r"window\.templateArgs = (.+)$", page, re.MULTILINE)
        return set(json.loads(arguments)["extra_options"])

    def start(self, **fields: object) -> str | None:
        """Presses Start, or Edit while a run goes on. Returns the error that is shown."""
        form = {"user_count": 7, "spawn_rate": 7, "host": self._target, **fields}
        answer: dict[str, Any] = json.loads(self._post("swarm", urllib.parse.urlencode(form)))
        return None if answer["success"] else str(answer["message"])

    def stop(self) -> None:
        self._post("stop", "")

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(urllib.request.urlopen(f"{self.url}/stats/requests", timeout=10).read())
        return stats

    def _post(self, path: str, data: str) -> bytes:
        return bytes(urllib.request.urlopen(f"{self.url}/{path}", data.encode(), timeout=60).read())

    def row(self, what: str) -> dict[str, str]:
        """What the tab shows of a fault, or of the scenario."""
        (table,) = self.stats()["extended_stats"]
        (row,) = [row for row in table["data"] if row["what"] == what]
        return dict(row)

    def metrics(self) -> str:
        return bytes(urllib.request.urlopen(f"{self.url}/metrics", timeout=10).read()).decode()
