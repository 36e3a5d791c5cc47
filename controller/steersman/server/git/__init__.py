"""git push: repositories on the controller's own machine, and what a push to them brings about."""
