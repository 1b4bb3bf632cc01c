"""A whole run: the swarm as a child process, the testbed around it, and its progress."""
