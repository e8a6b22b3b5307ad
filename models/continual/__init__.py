"""Continual learning: one task after another, and what becomes of the earlier ones.

metrics.py      average accuracy, transfer, forgetting
stream.py       the tasks, and the three settings: domain, task, class
sequential.py   plain fine-tuning; the strategies below are this with something added
replay.py       a few old examples in every batch
fisher.py       how much the answers depend on each weight
ewc.py          weights tied to their old values, EWC and online EWC
lwf.py          old answers on new texts
adapters.py     a frozen model with one adapter per task
joint.py        all tasks at once, the bound
run.py          one strategy on the tasks in one order, with a state to resume from
Read next: metrics.py, stream.py, sequential.py.
"""
