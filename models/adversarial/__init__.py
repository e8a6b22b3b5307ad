"""Adversarial training: the model also learns from texts whose embeddings are moved a little, to where they hurt most.

base.py     one micro-batch under attack: δ on its embeddings, norms, projections, the same dropout masks for all passes
fgm.py      one step along the gradient
pgd.py      several small steps, each back into the ball
freelb.py   several steps, every one of which also teaches
smart.py    a penalty on how far the answers move
choosing.py the methods by name, with their papers' settings
Read next: base.py, fgm.py.
"""

from .choosing import METHODS, Adversary

__all__ = ["METHODS", "Adversary"]
