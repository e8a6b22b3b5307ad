"""BERT: the model and its heads, tokenizer, checkpoints, pretraining. Read config, model, tokenizer, data, pretraining."""

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
from .tokenizer import Tokenizer
from .use import embed, fill_mask, load
