"""BERT, from token ids to the loss, in one file.

    ids ─ embeddings ─ [self-attention ─ feed-forward] × L ─ hidden states ─ head ─ logits ─ loss

Devlin, Chang, Lee and Toutanova (2018), "BERT: Pre-training of Deep Bidirectional Transformers",
https://arxiv.org/abs/1810.04805; parameter names, arguments and outputs are Hugging Face's, so that checkpoints pass
both ways (weights.py).

Shapes: B sequences, S tokens each, H hidden size, A heads of width d = H/A, I intermediate size, V vocabulary size.
Read before: config.py, minitorch/nn/functional.py. Read next: train_minimal.py, then weights.py, data.py, pretraining.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn
from minitorch.nn.fused import activated
from minitorch.ops import may_read

from ..checkpoints.parts import KeysAndValues, Output, activation
from .config import BertConfig
from .masked_rows import Masked, find_masked, places, rows_at
from .weights import SavedBert


class PreTrained(SavedBert):
    """Shared by all BERTs: initial weights and tied weights. Loading and saving are in weights.py."""

    def initialize(self) -> None:
        """BERT's initial weights: N(0, initializer_range), biases 0, LayerNorm 1 and 0, the padding token's vector 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                with minitorch.no_grad():
                    module.weight[module.padding_idx] = 0
        self.tie_weights()

    def tie_weights(self) -> None:
        """The vocabulary projection is the table of word embeddings."""
        predictions = getattr(getattr(self, "cls", None), "predictions", None)
        if predictions is not None and self.config.tie_word_embeddings:
            table = self.bert.embeddings.word_embeddings
            predictions.decoder.weight = table.weight
            if hasattr(table, "weight_scale"):  # of int8
                predictions.decoder.weight_scale = table.weight_scale


class BertEmbeddings(nn.Module):
    """LayerNorm(word + position + segment), with dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        H = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, H, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, H)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, H)
        self.LayerNorm = nn.LayerNorm(H, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor | None, token_type_ids: Tensor | None, position_ids: Tensor | None, inputs_embeds: Tensor | None
    ) -> Tensor:
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.word_embeddings(input_ids)  # (B, S, H)
        S = inputs_embeds.shape[1]
        positions = self.position_embeddings.weight
        if positions.shape[0] < S and position_ids is None:
            raise ValueError(
                f"a sequence of {S} tokens is longer than the {positions.shape[0]} positions of this model; "
                "truncate it, or make a model with a larger max_position_embeddings"
            )
        x = inputs_embeds
        if token_type_ids is None:
            x = x + self.token_type_embeddings.weight[0]
        else:
            x = x + self.token_type_embeddings(token_type_ids)
        x = x + (positions[:S] if position_ids is None else self.position_embeddings(position_ids))
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    """Each token's query meets all keys, and weighs the values: softmax(Q Kᵀ/√d + mask) V, in A heads at once."""

    def __init__(self, config: BertConfig, number: int) -> None:
        super().__init__()
        H, d = config.hidden_size, config.hidden_size // config.num_attention_heads
        self.heads = config.heads_of(number)  # all, unless some were pruned in this layer
        self.query = nn.Linear(H, self.heads * d)
        self.key = nn.Linear(H, self.heads * d)
        self.value = nn.Linear(H, self.heads * d)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def split(self, x: Tensor) -> Tensor:
        """(B, S, A d) -> (B, A, S, d)"""
        B, S, W = x.shape
        return x.reshape(B, S, self.heads, W // self.heads).transpose(1, 2)

    def forward(
        self, asking: Tensor, x: Tensor, mask: Tensor | None, output_attentions: bool, past: KeysAndValues | None = None
    ) -> tuple[Tensor, Tensor | None]:
        B, L, _ = asking.shape  # L = S: all tokens; in the last layer only the rows that are wanted
        q, k, v = self.split(self.query(asking)), self.split(self.key(x)), self.split(self.value(x))  # (B, A, L or S, d)
        if past is not None:  # (1 or B, A, n, d) in front: from here on S counts them
            k, v = (minitorch.cat([p.expand(B, *p.shape[1:]), new], dim=2) for p, new in zip(past, (k, v), strict=True))
        if output_attentions:
            scores = q @ k.mT * q.shape[-1] ** -0.5  # (B, A, L, S)
            probabilities = self.dropout(F.softmax(scores if mask is None else scores + mask, dim=-1))
            context = probabilities @ v  # (B, A, L, d)
        else:  # the same in one operation, which need not keep the (L, S) tables
            probabilities = None
            context = F.scaled_dot_product_attention(q, k, v, mask, self.dropout.p if self.training else 0.0)
        return context.transpose(1, 2).reshape(B, L, -1), probabilities  # (B, L, A d)


class BertSelfOutput(nn.Module):
    """LayerNorm(x + dropout(W h + b)): the residual connection around attention and around the feed-forward layer."""

    def __init__(self, config: BertConfig, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        norm, p = self.LayerNorm, self.dropout.p
        return F.dropout_add_layer_norm(self.dense(h), x, norm.weight, norm.bias, p, norm.eps, self.training)


class BertAttention(nn.Module):
    """Self-attention and what follows it."""

    def __init__(self, config: BertConfig, number: int) -> None:
        super().__init__()
        self.self = BertSelfAttention(config, number)
        self.output = BertSelfOutput(config, self.self.value.out_features)

    def forward(
        self, asking: Tensor, x: Tensor, mask: Tensor | None, output_attentions: bool, past: KeysAndValues | None = None
    ) -> tuple[Tensor, Tensor | None]:
        context, probabilities = self.self(asking, x, mask, output_attentions, past)
        return self.output(context, asking), probabilities


class BertIntermediate(nn.Module):
    """The first half of the feed-forward layer: H -> I and the activation."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return activated(self.dense, self.activation, x)


class BertLayer(nn.Module):
    """One encoder layer: attention, then the feed-forward layer, each within LayerNorm(x + ...)."""

    def __init__(self, config: BertConfig, number: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, number)
        self.intermediate = BertIntermediate(config)
        self.output = BertSelfOutput(config, config.intermediate_size)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        output_attentions: bool,
        rows: Tensor | None = None,
        past: KeysAndValues | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        asking = x if rows is None else rows_at(x, rows)
        x, probabilities = self.attention(asking, x, mask, output_attentions, past)  # (B, S, H)
        return self.output(self.intermediate(x), x), probabilities  # (B, S, H) -> (B, S, I) -> (B, S, H)


class BertEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config, i) for i in range(config.num_hidden_layers)])

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        output_attentions: bool,
        rows: Tensor | None = None,
        past: Sequence[KeysAndValues | None] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        hidden_states, attentions = [x], []
        for i, (layer, front) in enumerate(zip(self.layer, past or [None] * len(self.layer), strict=True), 1):
            x, probabilities = layer(x, mask, output_attentions, rows if i == len(self.layer) else None, front)
            hidden_states.append(x)
            attentions.append(probabilities)
        return hidden_states, attentions


class BertPooler(nn.Module):
    """tanh(W h + b) of the first token, [CLS]: one vector for the whole sequence."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return minitorch.tanh(self.dense(hidden[:, 0]))  # (B, S, H) -> (B, H)


class BertModel(PreTrained):
    """The encoder itself: hidden states for every token, and the pooled [CLS] vector."""

    options = ("add_pooling_layer",)

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        rows: Tensor | None = None,
        past_key_values: Sequence[KeysAndValues] | None = None,
    ) -> Any:
        """ids (B, S) -> last_hidden_state (B, S, H), pooler_output (B, H).

        attention_mask: (B, S), (B, from, to) or (B, 1 or A, from, to), 1 to look at a token and 0 not to; four dimensions of
        floats are added to the scores instead. token_type_ids: 0 for the first sentence, 1 for the second.
        output_hidden_states adds the L+1 layers' states, output_attentions the (B, A, S, S) tables.
        rows: positions (B, P), the first of which is pooled: the last layer is computed at these alone, S is P in its results.
        past_key_values: for each layer keys and values (1 or B, A, n, d) that every token may look at; positions start at n.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, one of them and not both")
        if input_ids is not None:
            self.check_ids(input_ids)
        wants_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        wants_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        n = past_key_values[0][0].shape[2] if past_key_values else 0
        if n and position_ids is None:
            text = next(t for t in (input_ids, inputs_embeds) if t is not None)
            position_ids = minitorch.arange(n, n + text.shape[1], device=text.device)[None]
        x = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        if rows is not None and attention_mask is not None and attention_mask.ndim > 2:
            raise ValueError("rows of the last layer need an attention_mask of shape (B, S), not (B, from, to)")
        mask = additive_mask(attention_mask, x)
        if n and mask is not None:
            mask = minitorch.cat([minitorch.zeros(*mask.shape[:-1], n, dtype=mask.dtype, device=mask.device), mask], dim=-1)
        states, attentions = self.encoder(x, mask, wants_attentions, rows, past_key_values)
        output = Output(
            last_hidden_state=states[-1],
            pooler_output=None if self.pooler is None else self.pooler(states[-1]),
            hidden_states=tuple(states) if wants_states else None,
            attentions=tuple(attentions) if wants_attentions else None,
        )
        return output.to_tuple() if return_dict is False else output


def additive_mask(attention_mask: Tensor | None, x: Tensor) -> Tensor | None:
    """1 -> 0 and 0 -> the most negative number, to be added to the scores: (B, 1, 1, S) or (B, 1 or A, from, to).

    Finite, so that a fully masked row gives uniform weights and no NaN. Floats of four dimensions are added as they are.
    """
    if attention_mask is None:
        return None
    if not 2 <= attention_mask.ndim <= 4:
        raise ValueError(f"attention_mask must be (B, S), (B, from, to) or (B, heads, from, to), got {attention_mask.shape}")
    if attention_mask.ndim == 4 and attention_mask.is_floating_point():
        return attention_mask.astype(x.dtype)
    if may_read(attention_mask) and bool((attention_mask.array != 0).all()):
        return None
    between = {2: (slice(None), None, None), 3: (slice(None), None), 4: ()}  # (B, 1, 1, S), (B, 1, from, to), or as it is
    mask = attention_mask[(*between[attention_mask.ndim], ...)]
    # What a fully masked row gives, here and elsewhere: the table at the head of minitorch/nn/attention.py.
    lowest = float(minitorch.finfo(x.dtype).min)
    return (1 - mask.astype(x.dtype)) * lowest


# ------------------------------------------------------------------------------------------------------- heads


class BertPredictionHeadTransform(nn.Module):
    """LayerNorm(act(W h + b)), before the vocabulary projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(hidden)))


class BertLMPredictionHead(nn.Module):
    """Scores for every word of the vocabulary: the transform, then the word embeddings themselves as a projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias  # one parameter under two names, as in Hugging Face's files

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decoder(self.transform(hidden))  # (..., H) -> (..., V)


class BertOnlyMLMHead(nn.Module):
    """The masked-language-model head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)


class BertOnlyNSPHead(nn.Module):
    """The next-sentence head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BertPreTrainingHeads(nn.Module):
    """Both heads of the original pretraining."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


def masked_lm(head: BertLMPredictionHead, hidden: Tensor, labels: Tensor | Masked) -> tuple[Tensor, Tensor]:
    """Cross entropy at the positions whose label is not -100, and the logits at those alone.

    About one token in seven is masked, and the vocabulary projection is the largest product of a small BERT.
    """
    B, S, H = hidden.shape
    at, wanted = (labels.at, labels.labels) if isinstance(labels, Masked) else places(labels)
    logits = head(minitorch.index_select(hidden.reshape(B * S, H), 0, at))  # (masked, V)
    return F.cross_entropy(logits, wanted), logits


class BertForPreTraining(PreTrained):
    """Masked words and next sentence together: the original pretraining objective."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config)
        self.initialize()

    def forward(
        self,
        *inputs: Any,
        labels: Tensor | Masked | None = None,
        next_sentence_label: Tensor | None = None,
        masked_only: bool = False,
        **options: Any,
    ) -> Any:
        """Loss: masked-LM plus next-sentence cross entropy (label 0: B follows A, 1: B is random), plain sum.

        masked_only: as in BertForMaskedLM.
        """
        return_dict = options.pop("return_dict", None)
        if masked_only and labels is not None:
            labels = labels if isinstance(labels, Masked) else find_masked(labels, pooled=True)
            options["rows"] = labels.rows
        encoded = self.bert(*inputs, **options)
        relation = self.cls.seq_relationship(encoded.pooler_output)  # (B, 2)
        mlm_loss = nsp_loss = masked_logits = None
        if labels is not None:
            mlm_loss, masked_logits = masked_lm(self.cls.predictions, encoded.last_hidden_state, labels)
        if next_sentence_label is not None:
            nsp_loss = F.cross_entropy(relation.reshape(-1, 2), next_sentence_label.reshape(-1))
        output = Output(
            loss=None if mlm_loss is None or nsp_loss is None else mlm_loss + nsp_loss,
            prediction_logits=None if masked_only else lambda: self.cls.predictions(encoded.last_hidden_state),  # (B, S, V)
            seq_relationship_logits=relation,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        output.mlm_loss, output.nsp_loss, output.masked_logits = mlm_loss, nsp_loss, masked_logits
        return output.to_tuple() if return_dict is False else output


class BertForMaskedLM(PreTrained):
    """Guess the masked words."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self.initialize()

    def forward(self, *inputs: Any, labels: Tensor | Masked | None = None, masked_only: bool = False, **options: Any) -> Any:
        """labels (B, S): the word at masked positions, -100 elsewhere.

        masked_only: compute the last layer's rows only at masked words (keys and values still come from all tokens). Same loss
        and gradients, less work; other tokens have no logits.
        """
        return_dict = options.pop("return_dict", None)
        if masked_only and labels is not None:
            labels = labels if isinstance(labels, Masked) else find_masked(labels, pooled=False)
            options["rows"] = labels.rows
        encoded = self.bert(*inputs, **options)
        loss = masked_logits = None
        if labels is not None:
            loss, masked_logits = masked_lm(self.cls.predictions, encoded.last_hidden_state, labels)
        output = Output(
            loss=loss,
            logits=None if masked_only else lambda: self.cls.predictions(encoded.last_hidden_state),  # (B, S, V)
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        output.mlm_loss, output.masked_logits = loss, masked_logits
        return output.to_tuple() if return_dict is False else output


def with_logits(logits: Any, loss: Tensor | None, encoded: Output, return_dict: bool | None) -> Any:
    """The output of a head with one table of logits."""
    output = Output(loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions)
    return output.to_tuple() if return_dict is False else output


class BertForNextSentencePrediction(PreTrained):
    """Does the second sentence follow the first?"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)
        self.initialize()

    def forward(self, *inputs: Any, labels: Tensor | None = None, **options: Any) -> Any:
        """labels (B,): 0 where the second sentence follows the first, 1 where it is random."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(*inputs, **options)
        logits = self.cls.seq_relationship(encoded.pooler_output)  # (B, 2)
        loss = None if labels is None else F.cross_entropy(logits.reshape(-1, 2), labels.reshape(-1))
        return with_logits(logits, loss, encoded, return_dict)


class BertForSequenceClassification(PreTrained):
    """One label for a text or a pair: dropout, then a linear layer on the pooled [CLS]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize()

    def forward(self, *inputs: Any, labels: Tensor | None = None, **options: Any) -> Any:
        """labels: classes (B,), 0/1 floats (B, labels) for several at once, or numbers (B,) for regression."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(*inputs, **options)
        logits = self.classifier(self.dropout(encoded.pooler_output))  # (B, num_labels)
        return with_logits(logits, None if labels is None else self.loss(logits, labels), encoded, return_dict)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error, cross entropy or binary cross entropy, as config.problem_type says (or the labels do)."""
        n = self.config.num_labels
        kind = self.config.problem_type
        if kind is None:
            several = labels.is_floating_point()
            kind = "regression" if n == 1 else "multi_label_classification" if several else "single_label_classification"
        if kind == "regression":
            return F.mse_loss(logits.squeeze() if n == 1 else logits, labels.squeeze() if n == 1 else labels)
        if kind == "single_label_classification":
            return F.cross_entropy(logits.reshape(-1, n), labels.reshape(-1))
        return F.binary_cross_entropy_with_logits(logits, labels)


class BertForTokenClassification(PreTrained):
    """One label for every token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.initialize()

    def forward(self, *inputs: Any, labels: Tensor | None = None, **options: Any) -> Any:
        """labels (B, S): one class per token, -100 where the loss ignores it."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(*inputs, **options)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))  # (B, S, num_labels)
        n = self.config.num_labels
        loss = None if labels is None else F.cross_entropy(logits.reshape(-1, n), labels.reshape(-1))
        return with_logits(logits, loss, encoded, return_dict)


class BertForQuestionAnswering(PreTrained):
    """Where in the context the answer starts, and where it ends."""

    labels = 2

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config.with_labels(2))  # the user's own configuration keeps its labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, self.labels)
        self.initialize()

    def forward(
        self, *inputs: Any, start_positions: Tensor | None = None, end_positions: Tensor | None = None, **options: Any
    ) -> Any:
        """start_positions, end_positions (B,): token indices; outside of the sequence they are ignored."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(*inputs, **options)
        start, end = self.qa_outputs(encoded.last_hidden_state).unbind(-1)  # (B, S, 2) -> two of (B, S)
        loss = None
        if start_positions is not None and end_positions is not None:
            S = start.shape[1]
            terms = [
                F.cross_entropy(logits, target.reshape(-1).clamp(0, S), ignore_index=S)
                for logits, target in ((start, start_positions), (end, end_positions))
            ]
            loss = (terms[0] + terms[1]) / 2
        output = Output(
            loss=loss, start_logits=start, end_logits=end, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )
        return output.to_tuple() if return_dict is False else output


class BertForMultipleChoice(PreTrained):
    """Which of C continuations is right: one score each, softmax over the choices."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """input_ids (B, C, S), labels (B,): the index of the right choice."""
        return_dict = options.pop("return_dict", None)
        given = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        B, C = next(t for t in given if t is not None).shape[:2]
        flat = [None if t is None else t.reshape(B * C, *t.shape[2:]) for t in given]  # (B, C, S) -> (BC, S)
        encoded = self.bert(*flat, **options)
        logits = self.classifier(self.dropout(encoded.pooler_output)).reshape(B, C)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return with_logits(logits, loss, encoded, return_dict)


def classifier_dropout(config: BertConfig) -> nn.Dropout:
    """The dropout before a classifier: its own rate, or else that of the hidden layers."""
    return nn.Dropout(config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout)
