"""The daemon's doors: how people and other machines come to it, and how it comes and goes."""
