"""A clean chat, and copies of it that each break one promise; each runs in a separate process.

`python -m tests.resilience.chats NAME --port PORT [--database FILE]`
"""
