"""Steering: what is asked for, what the models make of it, how it is shown."""
