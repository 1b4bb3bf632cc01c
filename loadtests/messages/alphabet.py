"""Characters that chats are known to change on their way, in groups that texts take in turn.

A group is never cut. What one mangling changes and a similar one does not is in the same group, so that a text tells
them apart: one with letters that NFC changes has others that only NFD changes, or only NFKC. No group begins or ends
with white space, because trimming is common and harmless, or holds a `?`, which often stands for what was lost.
"""

from typing import Literal

Alphabet = Literal["ascii", "unicode"]

GROUPS = (
    # é decomposed and composed, Hangul in parts, a ligature, a circled digit, a full-width letter: for normalisation.
    "e\u0301 \u00e9 \u1112\u1161\u11ab \ufb01\u2460\uff21",
    # A family and a firefighter, held together by joiners; a skin tone.
    (
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
        "\U0001f469\U0001f3fd\u200d\U0001f692 \U0001f44d\U0001f3ff"
    ),
    # Variation selectors both ways, a keycap, a flag of two letters and one of tags.
    (
        "\u2764\ufe0f \u260e\ufe0e 1\ufe0f\u20e3 \U0001f1e9\U0001f1ea "
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    ),
    # Hebrew and Arabic with their direction marks, and a number between them.
    "\u05e9\u05dc\u05d5\u05dd\u200f 12 \u0645\u0631\u062d\u0628\u0627\u200e",
    # Quotes and backslashes together: some escapes are for both, some for one.
    """O'Neil "hi" `x` C:\\new \\\\ \\u0041""",
    # Line ends, a tab, two spaces, and one that does not break; NFKC changes that one, too, so it has characters beside
    # it that white space has nothing to do with.
    "one\ntwo\n\nthree\tfour  five\u00a0\u2460\u00e9",
    "a<b>&amp;</b>",
    "%20 %s {x} ${y} $(z)",
    # Four bytes in UTF-8, two units in UTF-16: an emoji, a rare Han character, a clef.
    "\U0001f600 \U00020000 \U0001d11e",
    # Nothing to be seen between the letters.
    "a\u200bb\u2060c\ufeffd\u200ce",
)
"""Any ten texts in a row of one widget, or the first ones of ten widgets, have all of them."""


def sample(turn: int, room: int) -> str:
    """The `turn`-th group, and as many whole ones after it as `room` characters (code points) hold beside it."""
    chosen = [GROUPS[turn % len(GROUPS)]]
    length = len(chosen[0])
    while length + 1 + len(following := GROUPS[(turn + len(chosen)) % len(GROUPS)]) <= room:
        chosen.append(following)
        length += 1 + len(following)
    return " ".join(chosen)
