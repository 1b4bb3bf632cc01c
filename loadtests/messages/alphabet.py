"""Characters that chats are known to change, in groups that texts use in rotation.

A group is never cut. It holds what one mangling changes together with what a similar one does not, so that a text tells
them apart: for example letters that NFC changes, and others that only NFD or only NFKC changes. No group starts or ends
with white space, because trimming is common and harmless, or contains a `?`, which often replaces a lost character.
"""

from typing import Literal

Alphabet = Literal["ascii", "unicode"]

GROUPS = (
    # For normalisation: é decomposed and composed, decomposed Hangul, a ligature, a circled digit, a full-width letter.
    "e\u0301 \u00e9 \u1112\u1161\u11ab \ufb01\u2460\uff21",
    # A family and a firefighter, built with joiners; a skin tone.
    (
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
        "\U0001f469\U0001f3fd\u200d\U0001f692 \U0001f44d\U0001f3ff"
    ),
    # Both variation selectors, a keycap, a flag made of two letters and one made of tags.
    (
        "\u2764\ufe0f \u260e\ufe0e 1\ufe0f\u20e3 \U0001f1e9\U0001f1ea "
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    ),
    # Hebrew and Arabic with their direction marks, and a number between them.
    "\u05e9\u05dc\u05d5\u05dd\u200f 12 \u0645\u0631\u062d\u0628\u0627\u200e",
    # Quotes and backslashes together: some kinds of escaping affect both, some only one.
    """O'Neil "hi" `x` C:\\new \\\\ \\u0041""",
    # Line ends, a tab, two spaces, and a no-break space. NFKC changes that one too, so there are also characters that
    # changes of white space leave alone.
    "one\ntwo\n\nthree\tfour  five\u00a0\u2460\u00e9",
    "a<b>&amp;</b>",
    "%20 %s {x} ${y} $(z)",
    # Four bytes in UTF-8, two code units in UTF-16: an emoji, a rare Han character, a clef.
    "\U0001f600 \U00020000 \U0001d11e",
    # Invisible characters between the letters.
    "a\u200bb\u2060c\ufeffd\u200ce",
)
"""Ten consecutive texts of one widget, or the first texts of ten widgets, contain all of them."""


def sample(turn: int, size: int) -> str:
    """The `turn`-th group, followed by as many whole groups as fit into `size` characters (code points)."""
    chosen = [GROUPS[turn % len(GROUPS)]]
    length = len(chosen[0])
    while length + 1 + len(following := GROUPS[(turn + len(chosen)) % len(GROUPS)]) <= size:
        chosen.append(following)
        length += 1 + len(following)
    return " ".join(chosen)
