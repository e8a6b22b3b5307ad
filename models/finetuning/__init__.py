"""Fine-tuning a BERT: classify, tag, answer questions, choose; reports with the classical alternatives beside.

Read metrics, tasks, classify (tag, qa, choice), run, report, command.
"""

from .run import Predictor, Run, finetune, load
from .tasks import Settings
