"""Models built with the engine. They import minitorch; minitorch never imports them.

errors.py     BadInput, the error for a user's mistake
text/         corpora, the tokenizer, tables and labelled files
training/     settings, the loop, a run's folder, precision: shared by all models
bert/         the model in one file, its weights on disk, its pretraining
classical/    linear regression, and the alternatives without a neural network
finetuning/   tasks on a pretrained model, and their reports
course/       the graded assignments
cli.py        the ``minitorch`` command; startup.py: settings that must come before NumPy's import

Every room imports only from those to its left: text, training <- bert, classical <- finetuning <- course, cli.
"""
