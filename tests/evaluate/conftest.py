"""Puts this folder on the path, for the tests of pages below it."""
