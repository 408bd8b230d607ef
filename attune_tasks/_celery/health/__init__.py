"""Whether a worker takes from its queues what waits there, which is more than that its process is there."""
