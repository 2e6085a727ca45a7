"""Archives as web sites: a listener of its own, each archive an origin of its own."""
