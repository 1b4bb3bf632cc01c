"""One run of one policy: `python -m tests.bench.policies.run POLICY DASHBOARDS RATE` prints it as JSON."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.bench.figure import ROOT
from tests.bench.row import NotMeasuredError
from tests.bench.swarm_run import SCENARIOS, SwarmRun, cpu_of_tree, reference_chat

Policy = Literal["every", "coalesce", "300ms", "push"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
LOADS = ((100, 5), (100, 40))
"""Dashboards, and messages per second."""


@dataclass(frozen=True)
class PolicyRun:
    """What one run cost, from T0 to the end of the drain."""

    policy: Policy
    dashboards: int
    rate: float
    messages: int
    gets: int
    """How often a dashboard read the list again."""
    loopback: int
    """Bytes of all packets between chat and users, with their headers, both ways."""
    cpu: float
    """Seconds of the chat's processes."""
    visible_p99: float | None
    """In seconds. None: it falls among the lost."""
    others: float
    """Cores that other programs of the machine used, on average."""
    problems: Sequence[str] = ()

    @property
    def shares(self) -> int:
        """Messages × dashboards: what the costs are divided by."""
        return self.messages * self.dashboards


def order_of(number: int) -> list[Policy]:
    """The policies in a round: each round is followed by the same backwards, and the next two by another beginning."""
    first = number // 2 % len(POLICIES)
    turned = [*POLICIES[first:], *POLICIES[:first]]
    return turned[::-1] if number % 2 else turned


def measured_apart(policy: Policy, dashboards: int, rate: float) -> PolicyRun:
    """One run, in a network namespace. Raises NotMeasuredError where there can be none."""
    module = [sys.executable, "-m", "tests.bench.policies.run", policy, str(dashboards), str(rate)]
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "--map-root-user", "--fork", "--kill-child", "sh", "-c", script, "sh", *module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"expected a run in a network namespace, got: {done.stderr.strip()[-300:]}")
    return PolicyRun(**json.loads(done.stdout))


def measure_policy(policy: Policy, dashboards: int, rate: float) -> PolicyRun:
    """One run against a fresh chat. Raises NotMeasuredError."""
    is_push = policy == "push"
    flags = {"dashboards": dashboards, "rate": rate, "protocol": "push" if is_push else "reference"}
    before_and_after: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder, reference_chat({"push": True} if is_push else None) as chat:

        def cpu_and_bytes() -> float:
            before_and_after.append((cpu_of_tree(chat.pid), loopback_bytes()))
            return before_and_after[-1][0]

        scenario = Path(folder) / f"{policy}.toml"
        scenario.write_text(_scenario(policy), encoding="utf-8")
        measured = SwarmRun(str(scenario), {**flags, "target": chat.url}).perform(cpu_and_bytes)
    (_, bytes_before), (_, bytes_after) = before_and_after
    others = (measured.cpu_of_machine - measured.cpu - measured.beside) / measured.seconds
    verdict = measured.verdict
    return PolicyRun(
        policy, dashboards, rate, verdict.messages.accepted, measured.refetches, bytes_after - bytes_before,
        measured.beside, verdict.latency.visible.p99, max(0.0, others), measured.problems,
    )  # fmt: skip


def loopback_bytes() -> int:
    """The bytes that this network namespace's loopback has carried so far."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    raise NotMeasuredError("expected a loopback in /proc/net/dev, got none")


def _scenario(policy: Policy) -> str:
    if policy == "push":
        return (SCENARIOS / "policy-push.toml").read_text(encoding="utf-8")
    text = (SCENARIOS / "policy.toml").read_text(encoding="utf-8")
    return text.replace("[swarm]\n", f'[swarm]\nrefetch = "{policy}"\n')


if __name__ == "__main__":
    named = sys.argv[1]
    assert named in POLICIES
    print(json.dumps(asdict(measure_policy(named, int(sys.argv[2]), float(sys.argv[3])))))
