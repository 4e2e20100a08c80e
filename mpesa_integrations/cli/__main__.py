"""`python -m mpesa_integrations.cli` is `mpesa`."""

from . import main

main()
