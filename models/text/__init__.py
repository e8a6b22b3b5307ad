"""Text and tables as files hold them, before any model sees them.

Read tokenizer, corpus, python_docs (a text that every Python installation has), prepared, tables, labelled. GPT's tokenizers are
plain, characters and bpe; loading takes a folder of any kind.
"""
