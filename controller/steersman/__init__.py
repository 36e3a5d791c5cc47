"""steersman: declarative deploys for twelve-factor apps on plain Linux hosts."""
