"""Commands of the Makefile that no test needs."""
