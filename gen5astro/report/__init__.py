"""Views of a record: JSON is the record itself, terminal and HTML show it."""
