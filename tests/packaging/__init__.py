"""Tests of the packaging: chart, image, compose file, systemd unit, release and repository."""
