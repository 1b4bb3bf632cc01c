"""The chat itself: what follows a commit, the chat list, and the rate limit."""
