"""What filterdb promises in speed, memory and growth, measured; see `python -m bench --help`."""
