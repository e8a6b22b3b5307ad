"""Shared by every training run, whatever the model: settings, a run's folder, the loop's parts, precision, batches.

Read settings, precision, runs, loop, batches, trainer, pictures.
"""
