"""The chat itself: what a commit sets off, the list, and its limits."""
