"""Which items a user will want next, from clicks and from the items' descriptions. Read: clicks.py, then recommenders.py."""
