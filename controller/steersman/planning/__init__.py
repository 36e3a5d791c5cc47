"""The decisions: pure functions from target and seen to steps."""
