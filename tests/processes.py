"""For tests that press Ctrl-C in a process of its own."""

import signal


def heed_ctrl_c():
    """As ``preexec_fn``: a shell starts what it runs in the background (``pytest &``) with SIGINT ignored; that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
