"""Fine-tuning: a head on a BERT learns a task from a labelled file; a report compares it with the classical alternatives.

    from models import finetuning

    run = finetuning.finetune("classify", train="train.tsv", dev="dev.tsv", model="runs/pretrain", output="runs/reviews")
    print(run.report["scores"]["accuracy"])
    print(finetuning.load("runs/reviews")(["What a wonderful book."]))

Read metrics, tasks, classify (tag, relation, qa, choice), trainer, run, report, command, predictor.
"""

from .command import finetune
from .predictor import Predictor, load
from .run import Run
from .tasks import Settings
