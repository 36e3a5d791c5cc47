"""A shop that takes orders and says which release took them."""
