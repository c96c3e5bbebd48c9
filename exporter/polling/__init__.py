"""When an account is polled, which ranges are listed, and one poll from listing to publishing.

Must not contain metrics or HTTP servers.
"""
