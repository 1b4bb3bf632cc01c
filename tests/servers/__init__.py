"""Real chat servers of other ecosystems, each started from its ordinary package in a separate process."""
