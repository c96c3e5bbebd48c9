"""Prometheus metrics: the table of families, their values and the exposition text.

This package must not know HTTP or Twilio.
"""
