"""What a gateway expects and answers, as values: no I/O, no clock, no database, no market."""
