"""The counting client: HTTP load that retries nothing and loses sight of nothing."""
