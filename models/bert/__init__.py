"""BERT: the model and its heads, its weights on disk, its pretraining. Read config, model, data, pretraining, use."""

from ..text.tokenizer import Tokenizer
from .config import BertConfig
from .model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from .use import embed, fill_mask, load
