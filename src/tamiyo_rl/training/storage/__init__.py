"""Bytes on a disk: a whole file, or the file that was there before."""
