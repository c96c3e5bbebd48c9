"""The Prometheus metrics: one table of families, their values and their text.

Must not know of HTTP or Twilio.
"""
