"""A whole run: the swarm as a child, what stands around it, and its progress."""
