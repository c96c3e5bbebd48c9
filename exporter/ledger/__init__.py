"""What is known about an account: operations, counters and totals.

Pure: no I/O, no clock.
"""
