"""filterdb: every 3×3 filter of a model zoo as a database."""

__version__ = "0.1.0"
