"""A hand that speaks the protocol and does what tests ask it to, good or bad."""
