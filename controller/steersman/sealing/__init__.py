"""Values that are safe to commit: sealed with age to keys that only some people and hosts have."""
