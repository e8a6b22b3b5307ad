"""The course's graded assignments: handing them out, checking them, grading them.

assignments.py   what an assignment consists of, and how stub and reference come out of one source file
testing.py       how a test is written: what runs with the learner's code, and what is expected, apart from each other
subject.py       the process in which the learner's code runs, and nothing is judged
grader.py        the process that judges, and in which the learner's code never runs
reports.py       tables, feedback, CSV, Gradescope
tiny_bert.py     a small BERT, trained with the learner's functions in the place of the library's
mutants.py       wrong versions of the references, and which test catches each
handing_out.py, nbgrader_export.py, command.py
The assignments themselves are in lessons/assignments/. Read next: testing.py.
"""
