"""Twilio's HTTP API for one account: requests, replies, rate limiting, retries and credentials.

Must not know polls, metrics or the web service.
"""
