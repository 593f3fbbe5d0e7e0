"""Features and images as the components take them."""
