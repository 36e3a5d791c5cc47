"""The hand: the part of steersman that runs on a host, streamed there and never installed.

Standard library only, Python 3.9 or newer, and no import of anything else of ours.
"""
