"""The README's figures: steersman beside Ansible and pyinfra, on the same hosts, in one run."""
