"""The report room: figures of filters, spectra and divergences (matplotlib)."""
