"""What makes a whole benchmark worthless."""


class Void(Exception):
    """A tool failed, or changed something where there was nothing to do."""
