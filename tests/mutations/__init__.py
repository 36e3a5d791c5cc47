"""Planted faults, each with the test that must turn red: what shows that the tests can fail."""
