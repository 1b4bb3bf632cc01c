"""Tests the judge: runs `chatswarm run` against broken, slow and clean chats, and compares what it finds."""
