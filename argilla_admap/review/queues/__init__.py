"""The review queues: conditions, links, counts and the guidelines that list them."""
