"""BERT: the model and its heads, its weights on disk, its pretraining.

Read config, model, train_minimal, data, pretraining, use.
"""

from minitorch.optim import AdamW  # with the schedules: so that one import line stands in for `from transformers import`
from minitorch.optim.lr_scheduler import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from ..text.encoding import BatchEncoding, BertTokenizer, BertTokenizerFast
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
