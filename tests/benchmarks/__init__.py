"""The figures of the README: steersman beside Ansible and pyinfra, on the same hosts, in one run."""
