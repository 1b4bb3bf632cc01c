"""Spreads users over workers, and never moves one during a run.

Locust assigns users round-robin, which may put all dashboards on one worker and all widgets on another. It also
rebalances whenever a worker comes or goes, which would take users away in the middle of a run.
"""

from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner, WorkerNode


class SteadyDispatcher(UsersDispatcher):
    """Spreads each kind of user evenly over all workers, and moves none between workers."""

    def add_worker(self, worker_node: WorkerNode) -> None:
        """Ignores it until the next run: it does not know this one's plan."""

    def remove_worker(self, worker_node: WorkerNode) -> None:
        """Its users are gone, and are not replaced."""
        rest = [node for node in self._worker_nodes if node.id != worker_node.id]
        if not rest:
            return  # Locust ends the test
        self._worker_nodes = rest
        self._active_users = [(node, user) for node, user in self._active_users if node.id != worker_node.id]
        for users in (self._users_on_workers, self._initial_users_on_workers):
            users.pop(worker_node.id, None)
        self._current_user_count = self.get_current_user_count()

    def _add_users_on_workers(self) -> dict[str, dict[str, int]]:
        """Assigns the users of the ramp's next step to workers."""
        goal = min(self._current_user_count + self._user_count_per_dispatch_iteration, self._target_user_count)
        for user in self._user_generator:
            if not user:
                self._no_user_to_spawn = True
                break
            node = self._least_loaded_for(user)
            self._users_on_workers[node.id][user] += 1
            self._current_user_count += 1
            self._active_users.append((node, user))
            if self._current_user_count >= goal:
                break
        return self._users_on_workers

    def _least_loaded_for(self, user: str) -> WorkerNode:
        def load(node: WorkerNode) -> tuple[int, int]:
            users = self._users_on_workers[node.id]
            return users[user], sum(users.values())

        return min(self._worker_nodes, key=load)


def client_processes(environment: Environment) -> dict[str, str]:
    """The names of the processes that will have users, by Locust's client id."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        present = [client for client, worker in runner.clients.items() if worker.state != STATE_MISSING]
        return {client: f"swarm-{runner.get_worker_index(client)}" for client in present}
    assert isinstance(runner, LocalRunner)
    return {runner.client_id: "swarm-0"}
