"""The state in PostgreSQL, and the lock that makes one of several exporters the active one.

The home of asyncpg. Must not know what is counted, or when to save.
"""
