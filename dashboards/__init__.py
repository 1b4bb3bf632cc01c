"""The guide's two pages, the inbox and the widget. No Python: a package only so that the backend finds its files."""
