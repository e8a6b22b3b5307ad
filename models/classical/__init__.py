"""What needs no neural network: linear regression on a table, and the alternatives beside a fine-tuned model.

Read linear_regression, regression_command, baselines, tagging, answering.
"""
