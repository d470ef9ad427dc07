"""Commands about this machine: server, demo, doctor."""
