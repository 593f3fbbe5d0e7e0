"""Steering experiments from the command line: what is asked for, doing it on many pictures, and
tables of what was said."""
