"""Occlusion: how much f falls when a word is taken out (Zeiler and Fergus 2014, section 4; Li, Monroe and Jurafsky 2016,
"Understanding neural networks through representation erasure", https://arxiv.org/abs/1612.08220).

    a_w = f(x) - f(x without w)

Each word costs one pass. A text with a [MASK] in it is unlike those that a classifier learnt from; so is one with a hole.
Read next: lime.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def occlusion(f: Callable[[Array], Array], words: int) -> Array:
    """f: of which words stay (n, W) -> (n,). (W,)"""
    keep = ~np.eye(words + 1, words, k=-1, dtype=bool)  # the first row keeps all
    y = f(keep)
    return y[0] - y[1:]  # type: ignore[no-any-return]
