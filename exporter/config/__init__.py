"""Settings and accounts: read from flags, environment and file, checked, and frozen.

Must not know which modules use them.
"""
