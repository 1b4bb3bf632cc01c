"""Texts as somebody's scenario, folder, chat id or answer may hold them, each with what must not come of it."""

NASTY = {
    "clears the screen": "a\x1b[2Jb",
    "a link of a terminal": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "one byte that begins a sequence": "a\x9b2Jb",
    "Rich's markup": "[bold]a[/bold]",
    "Rich's markup, closed too often": "[/]",
    "an address in brackets": "http://[fd00::5]:9",
    "a line over the one before": "fine\rFAIL",
    "two lines": "one\ntwo",
    "Unicode's line end": "one\u2028two\u2029three",
    "C1's line end": "one\x85two",
    "text turned round": "a\u202egnp.exe",
    "isolates": "\u2066a\u2069",
    "the end of CDATA": "a]]>b",
    "a script": "<script>alert('1')</script>",
    "an attribute's end": "\" onload='x' x=\"",
    "an entity": "&lt;b&gt; &#60;",
    "a table's column": "a | b",
    "code": "a `b` ```` c",
    "emphasis and a link": "*a* _b_ ~c~ [d](http://e) ![f](g) http://h www.i.example @j #1",
    "a formula": "$a^2$ $$b$$",
    "a heading": "# a",
    "a list": "- a",
    "a numbered list": "1. a",
    "a quotation": "> a",
    "an emoji of its own name": ":bug:",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "nothing, as C has it": "a\x00b",
    "half of a character": "a\ud83d",
    "a byte that was not UTF-8": "a\udcffb",
    "bell and backspace": "a\x07\x08b",
    "no character": "a\ufffe\uffffb",
    "a format": "%s {0} %(a)s {a[b]}",
}
"""By what it does where it is taken for more than text."""

FORBIDDEN = [
    *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\ufffe", "\uffff", "\ud83d", "\udcff",
]  # fmt: skip
"""What must never stand in what is shown (but for the line ends that are ours)."""


def wrong_in(shown: str, *, ours: str = "\n") -> list[str]:
    """Which of the forbidden characters are in it."""
    return [ascii(letter) for letter in FORBIDDEN if letter in shown and letter not in ours]
