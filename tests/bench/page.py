"""How close the swarm's `visible` is to a real page: an inbox in Chromium and simulated dashboards in the same run.

The figure is the time from the median dashboard's `visible` until the browser's document shows the message, as the
median over all messages. Every message must be shown in both.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from chatswarm.loadtests.judge.judge import judged
from tests.dashboards.browser import CHROMIUM, FLAGS
from tests.dashboards.sites import site_at

from .figure import Figure

APART = 150.0
"""Milliseconds by which the two may differ."""

# Each chat gets a message every 2 s, so none is replaced by the next before it can be seen.
_SCENARIO = """
[swarm]
dashboards = 10
widgets = 10
rate = 5
arrivals = "even"
duration = "20s"
ramp = "1s"
drain = "4s"
[[slo]]
expect = "lost == 0"
"""
# When the document first showed each message, by widget and number, in wall-clock milliseconds.
_WATCH = r"""() => {
  window.shown = {};
  const look = () => {
    const now = performance.timeOrigin + performance.now();
    for (const [, widget, n] of document.querySelector("#list").textContent.matchAll(/cs1 \S+ (\d+) (\d+) /g))
      window.shown[`${widget}.${n}`] ??= now;
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def figures() -> Iterator[Figure]:
    """Yields no figures without Chromium."""
    if CHROMIUM is None:
        print("page: expected chromium on the path, got none: not measured", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.toml").write_text(_SCENARIO, encoding="utf-8")
        with site_at(folder) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = browser.new_page()
            page.goto(f"{site.pages}/inbox")
            page.wait_for_function("document.querySelector('#sign-label').textContent.includes('Connected')")
            page.evaluate(_WATCH)
            command = [sys.executable, "-m", "chatswarm.loadtests.entry", "run", str(folder / "page.toml")]
            command += ["--target", f"http://127.0.0.1:{site.backend.port}", "--out", str(folder / "run")]
            subprocess.run(command, check=False, capture_output=True)
            shown: dict[str, float] = page.evaluate("window.shown")
            browser.close()
        ledger = judged(folder / "run").ledger
    assert ledger is not None, "expected a run that was measured, got none"
    wall = time.time() - time.monotonic()
    messages = ledger.messages
    apart, missing = [], 0
    for number, (widget, n) in enumerate(zip(messages.widget.tolist(), messages.n.tolist(), strict=True)):
        at = shown.get(f"{widget}.{n}")
        visible = float(np.median(ledger.visible[ledger.deliveries.of(np.array([number]))]))
        if at is None or not np.isfinite(visible):
            missing += 1
        else:
            apart.append(at - (visible + wall) * 1000)
    assert apart, "expected messages in both, got none"
    yield Figure(
        "from the simulated `visible` to the page's document, median", abs(statistics.median(apart)), APART, "ms"
    )
    yield Figure(f"of {len(messages)} messages, not shown by page or swarm", missing, 0, "")
