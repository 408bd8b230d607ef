"""What a worker counts of its executions, for Prometheus."""
