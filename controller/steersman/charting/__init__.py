"""Charts: parameterised manifests. Values and templates in, manifests out; rendered elsewhere."""
