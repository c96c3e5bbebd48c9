"""Tests of the whole program: polling, counters and pages together."""
