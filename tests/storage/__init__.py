"""Tests of `exporter.storage`."""
