"""Right answers to the assignments, written differently from the references: each file NAME_style.py completes a stub."""
