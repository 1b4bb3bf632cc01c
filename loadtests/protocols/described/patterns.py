"""Regular expressions from a file."""

import re
import warnings


def pattern_of(text: str, what: str, flags: re.RegexFlag = re.RegexFlag.NOFLAG) -> re.Pattern[str]:
    """Compiles one. `what`: what it is, for people. Raises ValueError, which says what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of syntax that a later Python may read differently
            return re.compile(text, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected {what}, got {text!r}: {error}") from None
