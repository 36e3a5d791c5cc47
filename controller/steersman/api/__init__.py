"""The words: kinds, conditions, events and errors. No I/O."""
