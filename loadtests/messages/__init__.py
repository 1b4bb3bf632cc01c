"""The texts of messages: an identity at both ends, characters that chats change, and what changed them."""
