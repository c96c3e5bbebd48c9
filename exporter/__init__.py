"""Prometheus exporter for Twilio Email Operations."""

__version__ = "0.1.0"
