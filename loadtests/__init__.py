"""The load-generating side: everything from the scenario to the verdict, and the command line.

Importing anything here except `swarm` and `locustfile` never imports Locust or gevent.
"""
