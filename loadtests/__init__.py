"""The load-generating side: scenario, schedule, swarm, targets, history, checks, verdict and the command line.

Importing anything here except `swarm` and `locustfile` never imports Locust or gevent.
"""
