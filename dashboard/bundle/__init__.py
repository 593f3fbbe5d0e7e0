"""The bundle behind the pages."""
