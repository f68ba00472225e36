"""A lake as a data set that people can cite: a tree of files, documented and checksummed, and where it is uploaded."""
