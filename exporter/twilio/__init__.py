"""Twilio's HTTP API for one account: requests, replies, rate limit, retries, credentials.

Must not know of polls.
"""
