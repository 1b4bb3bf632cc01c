"""How users are spread over workers.

Locust deals them out in turn, which may put all dashboards on one worker and all widgets on the other. And it deals
again whenever a worker comes or goes, which takes users away in the middle of a run.
"""

from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner, WorkerNode


class SteadyDispatcher(UsersDispatcher):
    """Each kind of user evenly on all workers; and none is moved from one worker to another."""

    def add_worker(self, worker_node: WorkerNode) -> None:
        """It takes part from the next run on: it does not know this one's plan."""

    def remove_worker(self, worker_node: WorkerNode) -> None:
        """Its users are gone with it, and nobody takes their places."""
        rest = [node for node in self._worker_nodes if node.id != worker_node.id]
        if not rest:
            return  # Locust ends the test
        self._worker_nodes = rest
        self._active_users = [(node, user) for node, user in self._active_users if node.id != worker_node.id]
        for users in (self._users_on_workers, self._initial_users_on_workers):
            users.pop(worker_node.id, None)
        self._current_user_count = self.get_current_user_count()

    def _add_users_on_workers(self) -> dict[str, dict[str, int]]:
        """The next step of a ramp: to which worker each of the next users goes."""
        aim = min(self._current_user_count + self._user_count_per_dispatch_iteration, self._target_user_count)
        for user in self._user_generator:
            if not user:
                self._no_user_to_spawn = True
                break
            node = self._emptiest_for(user)
            self._users_on_workers[node.id][user] += 1
            self._current_user_count += 1
            self._active_users.append((node, user))
            if self._current_user_count >= aim:
                break
        return self._users_on_workers

    def _emptiest_for(self, user: str) -> WorkerNode:
        def fullness(node: WorkerNode) -> tuple[int, int]:
            users = self._users_on_workers[node.id]
            return users[user], sum(users.values())

        return min(self._worker_nodes, key=fullness)


def processes_of(environment: Environment) -> dict[str, str]:
    """The processes that will have users in them, by Locust's client id."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        there = [client for client, worker in runner.clients.items() if worker.state != STATE_MISSING]
        return {client: f"swarm-{runner.get_worker_index(client)}" for client in there}
    assert isinstance(runner, LocalRunner)
    return {runner.client_id: "swarm-0"}
