"""EmbeddingBag: an Embedding whose rows are summed, averaged or maximised per bag.  Read before: functional_bags.py."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from . import functional as F
from .layers import Embedding


class EmbeddingBag(Embedding):
    """The mean ("sum", "max") of the vectors of each bag: integers (B, n), or (N,) with offsets (B,) -> (B, embedding_dim)

    weight: (num_embeddings, embedding_dim), starts normal(0, 1). The row ``padding_idx`` counts as no member of a bag.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        more: Any = {"_weight": _weight, "device": device, "dtype": dtype}
        super().__init__(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, **more)
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(  # type: ignore[override]  # PyTorch's order differs from Embedding's
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer whose table is ``embeddings`` (rows, dim); training changes it only if freeze is False."""
        if embeddings.ndim != 2:
            raise ValueError(f"from_pretrained: the table must have 2 dimensions, this one has shape {embeddings.shape}")
        rows, dim = embeddings.shape
        how = (max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset, padding_idx)
        layer = cls(rows, dim, *how)
        layer.weight.requires_grad_(not freeze)
        return layer

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Any:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        limit = "" if self.max_norm is None else f", max_norm={self.max_norm}"
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{limit}, mode={self.mode!r}{padding}"
