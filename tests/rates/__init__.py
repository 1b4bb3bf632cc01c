"""How often `compare` and `capacity` are right: real runs against chats with a planted truth."""
