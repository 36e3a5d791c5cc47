"""A whole host in one private folder: the same hand, supervisor and proxy, without root."""
