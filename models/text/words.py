"""Split a text into words as CoNLL files have them, by the rules of the Penn Treebank.

Source: R. MacIntyre, Treebank tokenization (1995), https://www.cis.upenn.edu/~treebank/tokenization.html. In short:

    punctuation, quotes, brackets, $ and % are words of their own; so are 's, 'll, n't, ... (Merkel 's, do n't)
    a period stays in abbreviations (U.N., Mr., e.g.), initials (John F. Kennedy) and numbers (3.5), not at a sentence's end
    hyphens, slashes and & stay in a word (Franco-German, and/or, AT&T), commas and colons in a number (1,000, 10:30)
    web and e-mail addresses, @names and #tags stay whole, and so do :-) and ...
"""

from __future__ import annotations

import re
import unicodedata

ABBREVIATIONS = (
    "Mr|Mrs|Ms|Messrs|Dr|Prof|St|Mt|Ft|Jr|Sr|Rev|Hon|Gen|Col|Maj|Capt|Cpt|Lt|Sgt|Cmdr|Adm|Sen|Rep|Gov|Pres|Supt|Inc|Ltd|Co|Corp"
    "|Bros|Cie|Assn|Dept|Univ|Ave|Blvd|Rd|Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec|vs|etc|al|cf|approx|est|Fig|Eq|Vol"
)
LETTER = r"[^\W\d_]"
EDGE = r"(?=[.,;:!?'\"’”)\]}»]*(?:\s|$))"  # nothing but punctuation follows, up to a space
TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)\S+?{EDGE}                                 # https://example.org/a?b=c
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+                                  # name@example.org
    | (?<!\w)[@\#]{LETTER}\w*                                       # @name, #tag
    | (?<!\S)[:;=8][-o^']?[()\[\]DPp/\\|](?!\S)                     # :-)
    | (?<![\w.])['’](?:\d\ds?|em|til|tis|twas|cause|n['’]?)(?!\w)      # '90s, 'em
    | (?:(?<=[\w.])|(?<!\S))['’](?:s|m|d|ll|re|ve)(?!\w)            # 's after an abbreviation, or alone
    | (?<![\w)\]])[+-]?\.?\d+(?:[.,:/–-]?\w+)*                      # -5, .5, 1,000.50, 10:30, 1990–95, 3-2
    | (?:{LETTER}{{1,2}}\.)+{LETTER}{{1,2}}\.(?:-\w+)*              # U.N., Ph.D., U.S.-led
    | (?:{ABBREVIATIONS})\.(?=\W|$)                                 # Mr.
    | No\.(?=\s?\d)                                                 # No. 5
    | (?!I\b)[A-Z]\.(?=\s+{LETTER})                                 # F. Kennedy
    | &\#?\w+;                                                      # &amp;
    | [A-Z]{{1,3}}(?=\$)\$                                          # US$
    | \w+(?:(?:[.'’&/·]|-(?!-)|,(?=\d))\w+)*(?:-(?=\s))?            # well-known, O'Brien, and/or, AT&T, pre-
    | \.{{2,}} | -{{2,}} | `` | ''                                  # ... -- and TeX's quotes
    | [\U0001F1E6-\U0001F1FF]{{2}}                                  # flags
    | [^\w\s](?:[\ufe0f\U0001F3FB-\U0001F3FF]|\u200d[^\w\s])*       # any other sign
    """,
    re.VERBOSE,
)
CLITIC = re.compile(r"(.+?)(n['’]t|['’](?:s|m|d|ll|re|ve))", re.IGNORECASE)


def split_words(text: str) -> list[str]:
    """The words and signs of a text, in order; nothing but space is left out."""
    words: list[str] = []
    for match in TOKEN.finditer(_shape(text)):
        word, after = text[match.start() : match.end()], []
        while clitic := CLITIC.fullmatch(word):
            word, after = clitic[1], [clitic[2], *after]
        words += [word, *after]
    return words


def _shape(text: str) -> str:
    """The text with a letter in place of each accent or joiner after a letter, since \\w has none of them, and a space in
    place of other characters that cannot be seen."""
    shape = ""
    for c in text:
        kind = unicodedata.category(c)
        joins = (kind[0] == "M" or c in "\u00ad\u200c\u200d") and shape[-1:].isalnum()
        shape += "a" if joins else " " if kind == "Cf" and c != "\u200d" else c
    return shape
