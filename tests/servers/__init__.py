"""Real chat servers of other ecosystems, each started by its ordinary package in a process of its own."""
