"""A guided tour: the product's promises, kept one by one through the public calls."""
