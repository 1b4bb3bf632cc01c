"""How each kind of chat speaks: `catalogue.py` finds it, `protocol.py` says what all of them have in common."""
