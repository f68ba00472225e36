"""`python -m filterdb`."""

from filterdb.cli import main

main()
