"""What is kept of activations as they stream by, and reading it back."""
