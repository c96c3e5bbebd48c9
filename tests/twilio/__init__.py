"""Tests of `exporter.twilio`."""
