"""Whose pixels are whose in a labels image: the person's, or a prediction's, and of which kind."""
