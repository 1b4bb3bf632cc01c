"""The swarm joined to Locust: its options, master and workers, and what they say to each other."""
