"""A victim process: an HTTP server that behaves as its words say. Run as a file; it imports only the stdlib.

victim.py PORT [deaf] [children] [zombie] [helper] [workers]
"""

import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def supervise() -> None:
    """Runs two workers, and soon replaces any that has ended; until then it is a zombie."""
    workers = [work() for _ in range(2)]
    while True:
        time.sleep(0.3)
        workers = [worker if worker.poll() is None else work() for worker in workers]


def work() -> "subprocess.Popen[bytes]":
    # It exits when its supervisor does.
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def main() -> None:
    port, *words = sys.argv[1:]
    if "deaf" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kept = []
    if "children" in words:
        kept.append(subprocess.Popen(["sh", "-c", "sleep 600; true"]))
    if "zombie" in words:
        kept.append(subprocess.Popen(["true"]))
    if "helper" in words:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()
        time.sleep(0.1)
    if "workers" in words:
        threading.Thread(target=supervise, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
