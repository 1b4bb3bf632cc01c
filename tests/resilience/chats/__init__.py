"""Chats in processes of their own: a clean one, and copies of it that lack one promise each.

`python -m tests.resilience.chats NAME --port PORT [--database FILE]`
"""
