"""The alternatives to a pretrained model: linear regression on a table, linear models on words, and networks from scratch.

Read linear_regression, regression_command, baselines, tagging, answering; then neural, convolution, lstm, crf, lstm_crf.
"""
