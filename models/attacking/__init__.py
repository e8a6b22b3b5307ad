"""Attacks on a trained classifier: few changed letters or words that turn a right answer into a wrong one.

changes.py          what may be put in a word's place: typing errors, neighbours of its embedding, words of a list
attack.py           the greedy search: the words that count most come first
report.py           accuracy under attack, queries, changed words, examples side by side
attack_command.py   minitorch attack
Read next: changes.py, attack.py.
"""
