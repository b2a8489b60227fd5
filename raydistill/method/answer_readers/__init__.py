"""How answers of each type are read, compared and written: one file a family of types, and the published rules."""
