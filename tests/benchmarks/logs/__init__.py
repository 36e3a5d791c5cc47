"""What it costs to hear a flood of log lines, and to take samples."""
