"""The messages and calls of ``approve.v1``, made from the ``.proto`` files by ``generate``."""
