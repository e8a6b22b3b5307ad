"""The course's graded assignments: handing them out, checking them, grading them.

assignments.py   the parts of an assignment, and how stub and reference come from one source file
testing.py       how to write a test: one half runs with the learner's code, the other holds the expected values
remote.py        a module in another process, used as if it were here; its objects are in proxy.py
confine.py       what the kernel forbids the learner's process
subject.py       the process that runs the learner's code
supervisor.py    the process that runs the tests
ranks.py         the learner's code in several processes that send each other messages
grader.py        the process that judges
submissions.py   whose file is it, and which assignment's: names as downloads have them
grading.py       a folder of submissions, one learner after the other
reports.py       tables, feedback, CSV, Gradescope
tiny_bert.py     a small BERT, trained with the learner's functions in place of the library's; later assignments: tiny_*.py
mutants.py       wrong versions of the references, and the test that catches each
handing_out.py, nbgrader_export.py, command.py
The assignments themselves are in lessons/assignments/. Read next: testing.py.
"""
