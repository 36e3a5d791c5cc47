"""A code change and a first deploy, beside scripts that do the same; and what a rollout costs."""
