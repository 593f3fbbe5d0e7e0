"""User studies on the pages."""
