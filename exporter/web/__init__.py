"""The web service: listener, routes, authentication, TLS, status page.

Must not know of polls or storage.
"""
