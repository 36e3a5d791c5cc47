"""Real systemd hosts on this machine: network namespaces, overlays and systemd-nspawn."""
