"""Everything around the swarm in a run, in a separate process: the reference chat, the fault proxies, the nemesis."""
