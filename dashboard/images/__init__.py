"""Finding an image, and showing it."""
