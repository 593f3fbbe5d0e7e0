"""What every page is made of, and the files that leave it."""
