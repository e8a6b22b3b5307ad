"""Lessons that run in a browser with nothing installed: ``python -m lessons.browser OUTPUT`` builds the folder.

runtime.py fetches Pyodide and verifies it, building.py writes the pages. In the page: lesson.js (cells), worker.js and running.py
(Python); graph.html, autograd.js, graph.js, moons.js (a page that needs no Python).
"""
