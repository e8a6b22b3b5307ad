"""Compression: the same answers from a smaller model. One technique a file.

heads.py         whole attention heads leave, by what the loss says of them
layers.py        whole layers leave
weights.py       single weights become 0, by size or by movement
int8.py          weights, and what enters a layer, as whole numbers of eight bits
distilling.py    a small model learns from a large one

Each changes a model in memory; command.py reads, measures and writes, ladder.py draws what each costs and keeps.
Read before: models/bert/model.py, models/finetuning/tasks.py.
"""
