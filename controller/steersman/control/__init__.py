"""Reconcilers: resolve, build, release, rollout, converge."""
