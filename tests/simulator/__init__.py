"""Tests of the simulated Twilio, and its schema for other tests."""
