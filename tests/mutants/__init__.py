"""The judge put to the proof: chats that are broken on purpose, each run for real through the command line."""
