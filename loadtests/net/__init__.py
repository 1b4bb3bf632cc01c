"""The address of a chat, and plain blocking connections to it."""
