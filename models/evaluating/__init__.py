"""How well a model knows a text: its perplexity, per token, per character and per byte.

Read perplexity, sliding, pseudo, command.
"""
