"""The steer command, one verb a file."""
