"""The alternatives to a pretrained model: linear regression on a table, linear models on words, and networks from scratch.

Read linear_regression, regression_command, baselines, tagging, answering; pipeline, featured_crf; word_vectors, word2vec,
vectors_command; neural, convolution, lstm, crf, lstm_crf.
"""
