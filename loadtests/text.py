"""Text as it is: what comes from users, files and targets, made fit to stand in one line of a terminal or a report."""

_VISIBLE = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """`text` with all that would break its line, move a cursor or turn the writing round shown as an escape.

    Nothing in it can be a command to a terminal any more; letters, emoji and combining marks stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    # A joiner is not printable by itself, but emoji are made with it.
    if character.isprintable() or character == "\u200d":
        return character
    if character in _VISIBLE:
        return _VISIBLE[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # A byte of a file's name that was not UTF-8.
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
