"""leak-check on a worker: a scanner process beside it, canaries in place of secrets, and what is looked at."""
