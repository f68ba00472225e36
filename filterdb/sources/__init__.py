"""Where networks come from: each module turns one world into `Network` objects with their facts."""
