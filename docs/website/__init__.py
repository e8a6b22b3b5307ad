"""The documentation as a static site: ``python -m docs.website OUTPUT``.

staging.py lays out the sources as Sphinx wants them, conf.py is Sphinx's configuration, checking.py follows every link.
"""
