"""A cloze question: a frame around a text with one [MASK], whose word the model guesses.

Schick and Schütze (2021), "Exploiting cloze questions for few-shot text classification and natural language inference",
https://arxiv.org/abs/2001.07676, section 3. Demonstrations: Gao, Fisch and Chen (2021), "Making pre-trained language models
better few-shot learners", https://arxiv.org/abs/2012.15723, section 6.
Read before: models/text/tokenizer.py. Read next: verbalizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import BadInput, count, suggestion
from ..finetuning.tasks import cut
from ..text.tokenizer import Tokenizer, shorten

PLACES = ("{text}", "{pair}")
Ids = Sequence[int]


class Template:
    """``Template("{text} It was [MASK].", tokenizer)``. A text's own "[MASK]" or "{text}" is letters."""

    def __init__(self, frame: str, tokenizer: Tokenizer) -> None:
        self.frame, self.tokenizer = frame, tokenizer
        mask = tokenizer.names["mask_token"]
        frame = frame.replace("[MASK]", mask)
        check(frame, mask)
        parts = [part for part in re.split(rf"({{text}}|{{pair}}|{re.escape(mask)})", frame) if part]
        # A part is the number of a text, None for the mask, or the ids of fixed words. "[SEP]" among these is the token.
        known: dict[str, Any] = {"{text}": 0, "{pair}": 1, mask: None}
        self.parts = [known[part] if part in known else tokenizer.encode_lines([part])[0] for part in parts]
        self.takes_pair = 1 in [part for part in self.parts if isinstance(part, int)]
        self.fixed = 1 + sum(len(part) for part in self.parts if isinstance(part, list))  # pieces besides those of the texts

    def fill(self, texts: Sequence[Ids], word: int) -> tuple[list[int], int]:
        """Its ids with the texts in their places and ``word`` in that of [MASK]; and where that is."""
        ids: list[int] = []
        for part in self.parts:
            if part is None:
                at = len(ids)
            ids += [word] if part is None else texts[part] if isinstance(part, int) else part
        return ids, at

    def ask(
        self, texts: Sequence[Ids], length: int, truncate: str = "end", shown: Sequence[tuple[Sequence[Ids], int]] = ()
    ) -> tuple[list[int], int]:
        """[CLS] T(x) [SEP] T(d₁) [SEP] ... in at most ``length`` ids, and where the mask is.

        ``shown``: demonstrations d, the texts and the word of each. Texts are cut, the frame never: each demonstration has an
        equal share of the room, and the question takes what they leave.
        """
        n, t = 1 + len(shown), self.tokenizer
        room = length - 1 - n * (self.fixed + 1)
        if room < n * len(texts):
            around = f" with {count(len(shown), 'demonstration')}" if shown else ""
            raise BadInput(
                f"--template {self.frame!r}{around} takes {length - room} of the {length} pieces of a row (--length): "
                "no room is left for the text"
            )
        filled = [self.fill(shortened(d, room // n, truncate), word)[0] for d, word in shown]
        room -= sum(len(ids) - self.fixed for ids in filled)
        question, at = self.fill(shortened(texts, room, truncate), t.mask_id)
        return [t.cls_id, *question, t.sep_id, *(i for ids in filled for i in [*ids, t.sep_id])], at + 1


def shortened(texts: Sequence[Ids], room: int, truncate: str) -> Sequence[Ids]:
    """The text, or the two of a pair, in at most ``room`` ids."""
    return shorten(texts[0], texts[1], room) if len(texts) == 2 else [cut(list(texts[0]), room, truncate)]


def check(frame: str, mask: str) -> None:
    """Raise BadInput unless there is one mask, one {text}, at most one {pair}, and nothing else in braces."""
    where = f"--template {frame!r}"
    for braces in re.findall(r"\{[\w\s]*\}", frame):
        if braces not in PLACES:
            near = suggestion(braces[1:-1].strip(), ("text", "pair"))
            hint = f"did you mean {{{near}}}?" if near else "there are {text} and, for a second text, {pair}"
            raise BadInput(f"{where}: {braces} is no place for a text; {hint}")
    if (n := frame.count(mask)) != 1:
        raise BadInput(f"{where}: write one {mask}, where the model is to guess a word; this has {n or 'none'}")
    for place in PLACES:
        if (n := frame.count(place)) > 1:
            raise BadInput(f"{where}: {place} stands there {n} times; once is right")
    if PLACES[0] not in frame:
        raise BadInput(f"{where}: write {{text}} where each text is to stand, as in {{text}} It was {mask}.")
