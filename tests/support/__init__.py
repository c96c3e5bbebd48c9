"""Helpers of the tests: clocks, worlds, programs and browsers."""
