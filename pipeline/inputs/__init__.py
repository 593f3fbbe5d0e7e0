"""What goes in: examples, their pictures and captions."""
