"""When an account is polled, for which dates, and what a poll does.

Must not know of metrics or HTTP servers.
"""
