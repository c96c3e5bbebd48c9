"""Tests of the command `observe`."""
