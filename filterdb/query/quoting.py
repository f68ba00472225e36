"""Names and values as SQL text; nothing else in the project puts quotes around anything."""


def identifier(name: str) -> str:
    """`name` as a SQL identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a SQL string, whatever it holds."""
    return "'" + text.replace("'", "''") + "'"
