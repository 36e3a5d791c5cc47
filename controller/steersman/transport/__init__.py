"""SSH links to hosts and the frames on them."""
