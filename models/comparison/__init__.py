"""The comparison this project exists for: every way to learn a task, from counting words to BERT, on one page.

Read settings, rungs, measuring, contest, conclusions, page, command.
"""
