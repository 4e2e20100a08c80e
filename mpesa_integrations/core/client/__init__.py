"""How requests reach a gateway and answers come back. What they mean is `protocol`'s."""
