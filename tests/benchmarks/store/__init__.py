"""The store beside aiosqlite, and beside itself with a thousand watchers."""
