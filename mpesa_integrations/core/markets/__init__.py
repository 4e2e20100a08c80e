"""What differs between gateways, as data: a market each, and no `if` about one anywhere else."""
