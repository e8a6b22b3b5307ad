"""A support desk: which known answer fits a question, and when to say that none does. Read: search.py, then tuning.py."""
