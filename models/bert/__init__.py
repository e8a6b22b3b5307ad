"""BERT: the model and its heads, tokenizer, checkpoints, pretraining. Read config, model, tokenizer, data, pretraining."""

from minitorch.optim import AdamW  # with the schedules: so that one import line stands in for `from transformers import`
from minitorch.optim.lr_scheduler import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from .config import BertConfig
from .encoding import BatchEncoding, BertTokenizer, BertTokenizerFast
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
