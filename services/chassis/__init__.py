"""What every service stands on. No rule of the product lives here."""
