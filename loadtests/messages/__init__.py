"""The texts of messages: the identity in each, characters that chats tend to change, and what changed them."""
