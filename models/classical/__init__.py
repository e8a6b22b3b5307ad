"""Models without a neural network: linear regression on a table, and the alternatives to a fine-tuned model.

Read linear_regression, regression_command, baselines, tagging, answering.
"""
