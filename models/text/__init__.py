"""Text and tables as files hold them, before any model sees them.

Read tokenizer (plain, characters, bpe for GPT; loading for any), corpus, python_docs (a text that every Python installation has), prepared, tables, labelled.
"""
