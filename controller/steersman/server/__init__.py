"""The daemon's doors: the HTTP API, and who may come in by it."""
