"""A watch on opinions: what a stream of dated texts says, and an alarm when bad ones surge. Read: surge.py, then stream.py."""
