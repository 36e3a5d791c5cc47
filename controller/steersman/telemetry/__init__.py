"""What is seen of apps and hosts: heard from the hands, understood, kept and shipped."""
