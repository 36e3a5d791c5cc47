"""What looking after many hosts costs, with links in memory instead of a thousand machines."""
