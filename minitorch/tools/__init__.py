"""Tools to look up when you need them: nothing in the engine depends on this room.

gradcheck     is a gradient right? compares it with finite differences
anomaly       where is a NaN born? ``minitorch.detect_anomaly``
profiler      where do time and memory go? ``minitorch.profile``, ``minitorch.live_tensors``
observer      how the two of them watch every operation
drawing       what does the graph look like? ``minitorch.draw_graph``
doctor        what does this machine offer, and what is wrong? ``python -m minitorch.tools.doctor``
"""
