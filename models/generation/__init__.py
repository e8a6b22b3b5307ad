"""Writing text token by token, with any model that gives the next token's logits: greedy, sampled, by beams.

Read cache, filters, settings, decoder, generate, beams.
"""
