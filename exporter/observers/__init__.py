"""What listens to events and snapshots: log, account status, watchdog.

Must not know who sends them.
"""
