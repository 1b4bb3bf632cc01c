"""The swarm under Locust: options, master, workers, and the messages between them."""
