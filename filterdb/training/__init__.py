"""The training room: normal counterparts, adversarial training, PGD, and the twins of the demo (torch)."""
