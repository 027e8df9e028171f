"""From names and settings to cells."""
