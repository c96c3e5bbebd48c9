"""Tests of `exporter.observers`."""
