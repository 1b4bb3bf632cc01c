"""What goes wrong in chats: the causes with their words, shared by `chatswarm check` and `chatswarm why`."""
