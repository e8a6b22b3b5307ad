"""Explaining: why a model answers as it does, and what each explanation is worth.

    from models import explaining

    source = explaining.open_source("runs/finetune")
    subject = source.subject(source.examples(["What a wonderful book."])[0])
    for e in explaining.explain(subject, source.random()):
        print(e.title, e.values, e.sanity, e.curves.areas)

words.py      from pieces back to words
subject.py    an input x and the number f(x) that is explained; variants of x without some words
sources.py    subjects of fine-tuned models, masked LMs and GPTs
gradients.py, occlusion.py, lime.py, attention.py    attributions, one method per file
lens.py, probes.py    what each layer knows
checks.py     random weights, deletion and insertion
swaps.py      counterfactuals: how the answer moves when a word is exchanged
Read next: words.py.
"""

from .explain import METHODS, Explained, Options, explain
from .sources import open_source
from .subject import Subject

__all__ = ["METHODS", "Explained", "Options", "Subject", "explain", "open_source"]
