"""For `locust -f loadtests/locustfile.py --host URL`: the swarm with Locust's own command line and web page."""

from locust import events

from chatswarm.loadtests.swarm.locust.setup import register
from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser

__all__ = ["DashboardUser", "WidgetUser"]

register(events)
