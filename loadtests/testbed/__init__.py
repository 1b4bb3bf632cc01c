"""Everything around the swarm in a run, in a process of its own: the reference chat, the fault proxies, the nemesis."""
