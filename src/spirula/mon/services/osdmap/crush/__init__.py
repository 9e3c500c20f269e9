"""Commands that show and change the CRUSH map, by what they are about."""
