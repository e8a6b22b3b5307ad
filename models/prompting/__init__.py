"""Prompt learning: a masked LM classifies a text by the word that it puts into a gap; and what it has to be compared with.

template.py     a frame with one [MASK] around a text
verbalizer.py   words that stand for classes: checked, scored, found from examples
calibration.py  the model's leaning to a word, without any text, taken out
cloze.py        template and words as a task for the trainer of models/finetuning
use.py          a prompt at work: zero-shot, trained, saved, loaded
contrastive.py  the alternative without words: vectors of texts, drawn together by class
curve.py        score against the number of examples, for all of these
Read next: template.py.
"""

from .cloze import Cloze, Settings
from .template import Template
from .use import Prompt, load, read
from .verbalizer import Verbalizer

__all__ = ["Cloze", "Prompt", "Settings", "Template", "Verbalizer", "load", "read"]
