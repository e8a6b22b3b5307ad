"""Shared by every model that has a folder: its configuration, its files, loading and saving, the results of a call by name.

Read config, parts, files, saved.
"""
