"""Tests of what is shipped: chart, image, compose file, systemd unit, release, repository."""
