"""What goes wrong on purpose: the fault proxy between the swarm and its target."""
