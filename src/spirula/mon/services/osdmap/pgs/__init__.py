"""Placement groups: those that are to be made, and exceptions from where CRUSH puts them."""
