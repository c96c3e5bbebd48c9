"""What is known of an account: operations, counters and sums.

Pure: no I/O, no clock.
"""
