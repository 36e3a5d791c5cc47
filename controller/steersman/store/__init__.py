"""The controller's memory: objects, events, epochs, leases and secret values."""
