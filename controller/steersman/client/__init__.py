"""How the command line speaks to a daemon, wherever that runs."""
