"""`chatswarm run`: the swarm as a child process, its progress, and the verdict."""
