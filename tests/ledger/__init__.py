"""Tests of `exporter.ledger`."""
