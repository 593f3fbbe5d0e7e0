"""Lists of features: filtered, searched, drawn, annotated."""
