"""Methods: the vocabulary they are written in, one short file each, and the catalogue."""
