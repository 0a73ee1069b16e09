"""Values without quotes: null, true, false, decimal numbers and text, and nothing that YAML 1.1 reads otherwise.

PyYAML reads `0100` as 64, `1:04` as 64, `no` as false and `1e-12` as text. Here the last one is a number, and the
others are errors that say what to write.
"""

import re

MOST_DIGITS = 64

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_BOOLEANS = re.compile(r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_OTHER_NUMBERS = re.compile(
    r"[-+]?0[0-9_]*[0-9][0-9_.]*([eE][-+]?[0-9]+)?"  # 0100 and 00.5
    r"|[-+]?0[xXbBoO][0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9.]*_[0-9_.]*([eE][-+]?[0-9]+)?"  # 1_000
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # 1:04
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"
)


def scalar(text: str) -> bool | int | float | str | None:
    """What a value without quotes means. Raises `ValueError` saying what to write instead."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NUMBER.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise ValueError(f"expected a number of at most {MOST_DIGITS} characters (got {len(text):,})")
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    if _BOOLEANS.fullmatch(text):
        raise ValueError(f"expected true or false, or text in quotes (got {text})")
    if _OTHER_NUMBERS.fullmatch(text):
        raise ValueError(f"expected a decimal number without leading zeros, or text in quotes (got {text[:60]})")
    return text
