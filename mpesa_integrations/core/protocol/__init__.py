"""What a gateway is told, and what it says: no I/O, no clock, no database."""
