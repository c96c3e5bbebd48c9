"""Settings and accounts: read from flags, environment and file; checked; frozen.

Must not know what uses them.
"""
