"""How requests travel to a gateway and answers come back. What they mean is `protocol`'s."""
