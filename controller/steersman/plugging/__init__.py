"""Plugin types, and the processes that they run in: no code of a plugin runs elsewhere."""
