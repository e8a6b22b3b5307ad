"""What is built with the engine. It imports minitorch; minitorch never imports it.

errors.py     what the user got wrong
text/         corpora, the tokenizer, tables and labelled files
training/     settings, the loop, a run's folder, precision: shared by all models
bert/         the model in one file, its weights on disk, its pretraining
classical/    linear regression, and the alternatives without a neural network
finetuning/   tasks on a pretrained model, and their reports
course/       the graded assignments
cli.py        the ``minitorch`` command; startup.py: what must be set before NumPy starts

Imports point down this list to what stands above: text, training <- bert, classical <- finetuning <- course, cli.
"""
