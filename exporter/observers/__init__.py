"""Observers of events and snapshots: log, account status, watchdog, and the hub that calls them.

Must not contain polling.
"""
