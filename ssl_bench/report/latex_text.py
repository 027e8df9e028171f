"""Text from records as LaTeX that shows it: nothing in it is a command, and all of it is ASCII."""

from __future__ import annotations

import re
import unicodedata

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "'": r"\textquoteright{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "↓": r"$\downarrow$",
    "–": r"\textendash{}",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", "`'^~=u.\"rHvc", strict=True)
)


def latex(text: str) -> str:
    """`text` on one line of LaTeX, whatever is in it; a character that standard fonts lack as its number."""
    shown = "".join(map(_character, unicodedata.normalize("NFC", " ".join(text.split()))))
    # Fonts make one character of two hyphens or commas.
    return re.sub(r"([-,])(?=\1)", r"\1{}", shown)


def _character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() and character.isprintable():
        return character
    letter, *accents = list(unicodedata.normalize("NFD", character))
    if letter.isascii() and len(accents) == 1 and accents[0] in ACCENTS:
        # An accent stands in the place of the dot.
        return rf"\{ACCENTS[accents[0]]}{{{letter.replace('i', chr(92) + 'i').replace('j', chr(92) + 'j')}}}"
    return f"[U+{ord(character):04X}]"
