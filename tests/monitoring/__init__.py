"""Tests of alerts, recording rules and dashboards."""
