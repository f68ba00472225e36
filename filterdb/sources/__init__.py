"""Where networks come from: each module turns its world into `Network` objects."""
