"""What the maps of a photograph mean: findings, evidence for a grade, whether a person should look, the record."""
